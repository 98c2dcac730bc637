# How vbp's own libraries and programs are built; consumers see none of it. vbp_build_flags are warnings and sanitizers;
# vbp_header_only_build is header-only for this machine's CPU, vbp_compiled_build uses vbp::compiled.
add_library(vbp_build_flags INTERFACE)
add_library(vbp_header_only_build INTERFACE)
target_link_libraries(vbp_header_only_build INTERFACE vbp_build_flags vbp::vbp)
if(VBP_NATIVE)
  target_link_libraries(vbp_header_only_build INTERFACE vbp::native)
endif()
add_library(vbp_compiled_build INTERFACE)
target_link_libraries(vbp_compiled_build INTERFACE vbp_build_flags vbp_compiled)
target_compile_options(vbp_build_flags INTERFACE -Wall -Wextra -Wpedantic -Wconversion -Wshadow
                                                    $<$<BOOL:${VBP_WERROR}>:-Werror>)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False alarms of GCC 12: its own AVX-512 intrinsics, whose undefined registers are meant (GCC bug 105593), and
  # std::string's operator+ (GCC bug 105651). Clang still looks for variables that are read before they are set.
  target_compile_options(vbp_build_flags INTERFACE -Wno-uninitialized -Wno-maybe-uninitialized -Wno-restrict)
endif()

if(VBP_SANITIZE)
  set(sanitizers -fsanitize=address,undefined -fno-sanitize-recover=all)
  target_compile_options(vbp_build_flags INTERFACE ${sanitizers} -fno-omit-frame-pointer)
  target_link_options(vbp_build_flags INTERFACE ${sanitizers})
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
