# What the scripts of this folder share. COMPILER and GENERATOR are those of the build.
cmake_minimum_required(VERSION 3.25)

function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "failed (${result}): ${command}")
  endif()
endfunction()

# configure(<project> <option>...): the project of this folder, in WORK/build, from scratch.
function(configure project)
  file(REMOVE_RECURSE "${WORK}/build")
  run(${CMAKE_COMMAND}
      -S
      "${CMAKE_CURRENT_FUNCTION_LIST_DIR}/${project}"
      -B
      "${WORK}/build"
      -G
      "${GENERATOR}"
      "-DCMAKE_CXX_COMPILER=${COMPILER}"
      -DCMAKE_BUILD_TYPE=Debug
      ${ARGN})
endfunction()

# must_not_link(<target> <expression>): fails unless the linker misses a symbol whose name matches.
function(must_not_link target expression)
  execute_process(COMMAND ${CMAKE_COMMAND} --build "${WORK}/build" --target ${target} RESULT_VARIABLE result
                  OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(result EQUAL 0)
    message(FATAL_ERROR "${target} links, though it must not")
  endif()
  if(NOT output MATCHES "undefined (reference to|symbol:)[^\n]*(${expression})")
    message(FATAL_ERROR "no undefined symbol of ${target} names \"${expression}\":\n${output}")
  endif()
  message(STATUS "${target} does not link: ${CMAKE_MATCH_0}")
endfunction()
