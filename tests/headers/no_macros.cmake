# Fails if a macro whose name starts with VBP is defined after vbp/vbp.hpp.
list(TRANSFORM INCLUDES PREPEND "-I")
file(WRITE "${CMAKE_CURRENT_BINARY_DIR}/no_macros.cpp" "#include <vbp/vbp.hpp>\n")
execute_process(
  COMMAND "${COMPILER}" -std=c++20 -dM -E ${INCLUDES} "${CMAKE_CURRENT_BINARY_DIR}/no_macros.cpp"
  OUTPUT_VARIABLE macros COMMAND_ERROR_IS_FATAL ANY)
if(macros MATCHES "#define (VBP[A-Za-z0-9_]*)")
  message(FATAL_ERROR "vbp/vbp.hpp leaves the macro ${CMAKE_MATCH_1} defined")
endif()
