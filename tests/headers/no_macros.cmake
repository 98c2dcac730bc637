# Fails if vbp/vbp.hpp leaves a macro whose name starts with VBP defined, other than those that vbp/core/config.hpp
# explains: VBP_FUNCTION, VBP_ABI and the two that paste the latter together. VBP_COMPILED comes from the build.
cmake_minimum_required(VERSION 3.25)
list(TRANSFORM INCLUDES PREPEND "-I")
set(allowed VBP_ABI VBP_EXPAND VBP_FUNCTION VBP_PASTE)
file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/no_macros.cpp" "#include <vbp/vbp.hpp>\n")
foreach(mode IN ITEMS header_only compiled)
  set(definition "")
  if(mode STREQUAL "compiled")
    set(definition -DVBP_COMPILED)
    list(APPEND allowed VBP_COMPILED)
  endif()
  execute_process(
    COMMAND "${COMPILER}" -std=c++20 -dM -E ${definition} ${INCLUDES} "${CMAKE_CURRENT_BINARY_DIR}/no_macros.cpp"
    OUTPUT_VARIABLE macros COMMAND_ERROR_IS_FATAL ANY)
  string(REGEX MATCHALL "#define VBP[A-Za-z0-9_]*" found "${macros}")
  list(TRANSFORM found REPLACE "#define " "")
  list(SORT found)
  list(SORT allowed)
  if(NOT found STREQUAL allowed)
    message(SEND_ERROR "${mode}: vbp/vbp.hpp leaves the macros ${found} defined, not ${allowed}")
  endif()
endforeach()
