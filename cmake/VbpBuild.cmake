# How vbp's own libraries and programs are built; consumers are not affected. vbp_build_flags adds warnings and
# sanitizers. vbp_header_only_build is header-only, compiled for this machine's CPU. vbp_compiled_build links
# vbp::compiled.
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
  # GCC 12 warns falsely about its own AVX-512 intrinsics, whose registers are undefined on purpose (GCC bug 105593),
  # and about std::string's operator+ (GCC bug 105651). Clang still checks for variables that are read before they are
  # set.
  target_compile_options(vbp_build_flags INTERFACE -Wno-uninitialized -Wno-maybe-uninitialized -Wno-restrict)
endif()

if(VBP_SANITIZE)
  set(sanitizers -fsanitize=address,undefined -fno-sanitize-recover=all)
  target_compile_options(vbp_build_flags INTERFACE ${sanitizers} -fno-omit-frame-pointer)
  target_link_options(vbp_build_flags INTERFACE ${sanitizers})
endif()

# vbp_components_of(<needed> <missing> <file>...) sets <needed> to the optional components whose headers the files
# include, and <missing> to those of them that are not available.
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
