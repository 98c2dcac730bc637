cmake_minimum_required(VERSION 3.25)

# Fails unless vbp/vbp.hpp includes every public header except those of COMPONENT_HEADERS, itself or through an umbrella
# beside it (vbp/prune.hpp, ...). What lies in a detail/ folder comes with the header that uses it, and an X-inl.hpp with
# its X.hpp.
file(GLOB_RECURSE headers RELATIVE "${INCLUDE_FOLDER}" "${INCLUDE_FOLDER}/vbp/*.hpp")
list(FILTER headers EXCLUDE REGEX "/detail/|-inl\\.hpp$")
file(STRINGS "${INCLUDE_FOLDER}/vbp/vbp.hpp" lines REGEX "^#include")
file(GLOB umbrellas RELATIVE "${INCLUDE_FOLDER}" "${INCLUDE_FOLDER}/vbp/*.hpp")
list(REMOVE_ITEM umbrellas vbp/vbp.hpp)
foreach(umbrella IN LISTS umbrellas)
  if("#include \"${umbrella}\"" IN_LIST lines)
    file(STRINGS "${INCLUDE_FOLDER}/${umbrella}" more REGEX "^#include")
    list(APPEND lines ${more})
  endif()
endforeach()

list(REMOVE_ITEM headers vbp/vbp.hpp ${COMPONENT_HEADERS})
foreach(header IN LISTS headers)
  if(NOT "#include \"${header}\"" IN_LIST lines)
    message(SEND_ERROR "vbp/vbp.hpp does not include ${header}")
  endif()
endforeach()
foreach(header IN LISTS COMPONENT_HEADERS)
  if("#include \"${header}\"" IN_LIST lines)
    message(SEND_ERROR "vbp/vbp.hpp includes ${header}, which needs an optional component")
  endif()
endforeach()
