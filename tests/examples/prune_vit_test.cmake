# Runs the example PRUNE_VIT and the tool VBP on MODEL and the folder IMAGES, in the empty folder WORK, and checks that both
# write the same file.
file(REMOVE_RECURSE "${WORK}")
file(MAKE_DIRECTORY "${WORK}")

# run(<program> <argument>...): nothing on stderr, exit code 0.
function(run)
  execute_process(COMMAND ${ARGN} WORKING_DIRECTORY "${WORK}" RESULT_VARIABLE result OUTPUT_VARIABLE output
                  ERROR_VARIABLE messages)
  if(NOT result EQUAL 0 OR NOT messages STREQUAL "")
    message(FATAL_ERROR "${ARGN}: exit code ${result}: ${messages}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

run("${PRUNE_VIT}" "${MODEL}" "${IMAGES}" example.safetensors)
if(NOT output MATCHES "^greedy \\+ sequential-all: [0-9]+ of [0-9]+ neurons removed\n$")
  message(FATAL_ERROR "unexpected output: ${output}")
endif()
run("${VBP}" prune "${MODEL}" --calibrate "${IMAGES}" --rate 0.5 --out tool.safetensors)
execute_process(COMMAND "${CMAKE_COMMAND}" -E compare_files example.safetensors tool.safetensors
                WORKING_DIRECTORY "${WORK}" RESULT_VARIABLE differ)
if(differ)
  message(FATAL_ERROR "the example and the tool wrote different files")
endif()

# An error is one line that names the file; nothing is written.
execute_process(COMMAND "${PRUNE_VIT}" missing.safetensors "${IMAGES}" none.safetensors WORKING_DIRECTORY "${WORK}"
                RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE messages)
if(NOT result EQUAL 1 OR NOT output STREQUAL "" OR NOT messages MATCHES "^prune_vit: missing\\.safetensors: [^\n]*\n$"
   OR EXISTS "${WORK}/none.safetensors")
  message(FATAL_ERROR "a missing model: exit code ${result}: ${output}${messages}")
endif()
execute_process(COMMAND "${PRUNE_VIT}" RESULT_VARIABLE result OUTPUT_VARIABLE output ERROR_VARIABLE messages)
if(NOT result EQUAL 2 OR NOT messages MATCHES "^usage: ")
  message(FATAL_ERROR "no arguments: exit code ${result}: ${output}${messages}")
endif()
