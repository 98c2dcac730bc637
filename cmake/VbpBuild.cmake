# How vbp's own programs are built: warnings, sanitizers, and, of vbp_build, this machine's CPU; programs that carry the
# kernels of several architectures use vbp_portable_build. Consumers see none of it.
add_library(vbp_portable_build INTERFACE)
target_link_libraries(vbp_portable_build INTERFACE vbp::vbp)
add_library(vbp_build INTERFACE)
target_link_libraries(vbp_build INTERFACE vbp_portable_build)
if(VBP_NATIVE)
  target_link_libraries(vbp_build INTERFACE vbp::native)
endif()
target_compile_options(vbp_portable_build INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow
                                                    $<$<BOOL:${VBP_WERROR}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False alarms of GCC 12: its own AVX-512 intrinsics, whose undefined registers are meant (GCC bug 105593), and
  # std::string's operator+ (GCC bug 105651). Clang still looks for variables that are read before they are set.
  target_compile_options(vbp_portable_build INTERFACE -Wno-uninitialized -Wno-maybe-uninitialized -Wno-restrict)
endif()

if(VBP_SANITIZE)
  set(sanitizers -fsanitize=address,undefined -fno-sanitize-recover=all)
  target_compile_options(vbp_portable_build INTERFACE ${sanitizers} -fno-omit-frame-pointer)
  target_link_options(vbp_portable_build INTERFACE ${sanitizers})
endif()

# vbp_needs_images(<variable> <file>...): whether one of the files includes a header that needs an image library.
function(vbp_needs_images variable)
  set(needed FALSE)
  foreach(file IN LISTS ARGN)
    file(STRINGS "${file}" lines REGEX "^#include")
    foreach(header IN LISTS VBP_IMAGE_HEADERS)
      if(lines MATCHES "[<\"]${header}[>\"]")
        set(needed TRUE)
      endif()
    endforeach()
  endforeach()
  set(${variable} ${needed} PARENT_SCOPE)
endfunction()
