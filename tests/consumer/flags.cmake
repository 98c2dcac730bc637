# Builds a program with FLAGS against the vbp::compiled that is installed in PREFIX. Where the flags leave the inline
# namespace of vbp as the library has it, the program has to work. Where they change it, because Eigen aligns its memory
# differently, it must not link, and the missing symbols have to name the alignment.
include("${CMAKE_CURRENT_LIST_DIR}/common.cmake")

set(folders ${INCLUDES})
list(REMOVE_ITEM folders /usr/include)
list(TRANSFORM folders PREPEND -I)
execute_process(COMMAND "${COMPILER}" -std=c++20 -DVBP_COMPILED ${FLAGS} ${folders} -E -P "${CMAKE_CURRENT_LIST_DIR}/abi.cpp"
                OUTPUT_VARIABLE text COMMAND_ERROR_IS_FATAL ANY)
if(NOT text MATCHES "(compiled_eigen_align_[0-9]+_system_malloc_[01])[ \n]*$")
  message(FATAL_ERROR "VBP_ABI names no alignment")
endif()
set(of_program "${CMAKE_MATCH_1}")

file(GLOB_RECURSE library "${PREFIX}/lib*/libvbp_compiled.a")
execute_process(COMMAND "${NM}" -C "${library}" OUTPUT_VARIABLE text ERROR_QUIET COMMAND_ERROR_IS_FATAL ANY)
string(REGEX MATCH "compiled_eigen_align_[0-9]+_system_malloc_[01]" of_library "${text}")
if(of_library STREQUAL "")
  message(FATAL_ERROR "no symbol of ${library} names an alignment")
endif()

list(JOIN FLAGS " " flags)
configure(flags "-DCMAKE_PREFIX_PATH=${PREFIX}" "-DFLAGS=${flags}")
if(of_program STREQUAL of_library)
  run(${CMAKE_COMMAND} --build "${WORK}/build")
  run("${WORK}/build/program")
else()
  must_not_link(program ${of_program})
endif()
