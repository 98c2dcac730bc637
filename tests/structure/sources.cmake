# Fails if src/ holds more than explicit instantiations and the choice of kernels: vbp::compiled has the bodies of the
# headers and no others. FOLDER is src/. In CHOICE, a list of its files, functions may be defined. In all others only these
# statements may stand between the namespaces:
#   template class Statistics<float>;                template decltype(gemm<float>) gemm<float>;
#   extern constexpr Table<float> avx2_float = ...;  extern template ...;
cmake_minimum_required(VERSION 3.25)

file(GLOB_RECURSE sources RELATIVE "${FOLDER}" "${FOLDER}/*.cpp" "${FOLDER}/*.hpp")
if(NOT sources)
  message(FATAL_ERROR "no sources in ${FOLDER}: this test looks at the wrong folder")
endif()
list(REMOVE_ITEM sources ${CHOICE})
foreach(source IN LISTS sources)
  # Brackets and semicolons mean something in a list, so the text never becomes one.
  file(READ "${FOLDER}/${source}" text)
  string(REGEX REPLACE "//[^\n]*" "" text "${text}")
  if(text MATCHES "# *define ([A-Za-z_0-9]+)")
    message(SEND_ERROR "src/${source} defines the macro ${CMAKE_MATCH_1}, which this test cannot look into")
  endif()
  string(REGEX REPLACE "#[^\n]*" "" text "${text}")
  string(REGEX REPLACE "(template [^<;{}]|extern )[^;{}]*;" "" text "${text}")
  string(REGEX REPLACE "namespace [A-Za-z_0-9: ]+{" "" text "${text}")
  string(REGEX REPLACE "[} \n]+" " " text "${text}")
  string(STRIP "${text}" text)
  if(NOT text STREQUAL "")
    string(SUBSTRING "${text}" 0 200 text)
    message(SEND_ERROR "src/${source} holds more than explicit instantiations: ${text}")
  endif()
endforeach()
