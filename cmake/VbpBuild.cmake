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

# vbp_components_of(<needed> <missing> <file>...): the optional components whose headers the files include, and those
# among them that are not there.
function(vbp_components_of needed missing)
  set(components "")
  set(absent "")
  foreach(file IN LISTS ARGN)
    file(STRINGS "${file}" lines REGEX "^#include")
    foreach(component IN LISTS VBP_COMPONENTS)
      foreach(header IN LISTS VBP_${component}_HEADERS)
        if(lines MATCHES "[<\"]${header}[>\"]")
          list(APPEND components ${component})
        endif()
      endforeach()
    endforeach()
  endforeach()
  list(REMOVE_DUPLICATES components)
  foreach(component IN LISTS components)
    if(NOT TARGET vbp::${component})
      list(APPEND absent ${component})
    endif()
  endforeach()
  set(${needed} "${components}" PARENT_SCOPE)
  set(${missing} "${absent}" PARENT_SCOPE)
endfunction()
