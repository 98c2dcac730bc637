# Prunes MODEL by PRUNE_VIT, a program without other instruction sets than the baseline, and by TOOL, which has to use
# ARCHITECTURE, the name of the baseline. Both files have to be the same, byte for byte.
cmake_minimum_required(VERSION 3.25)
file(REMOVE_RECURSE "${WORK}")
file(MAKE_DIRECTORY "${WORK}/train")
file(GLOB images "${IMAGES}/jpeg_4*.jpg" "${IMAGES}/png_rgb*.png")
if(NOT images)
  message(FATAL_ERROR "no images in ${IMAGES}")
endif()
file(COPY ${images} DESTINATION "${WORK}/train")
execute_process(COMMAND "${PRUNE_VIT}" "${MODEL}" "${WORK}/train" "${WORK}/header_only.safetensors" COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} -E env "VBP_ARCH=${ARCHITECTURE}" "${TOOL}" prune "${MODEL}" --calibrate "${WORK}/train"
                        --rate 0.5 --out "${WORK}/compiled.safetensors" COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} -E compare_files "${WORK}/header_only.safetensors" "${WORK}/compiled.safetensors"
                RESULT_VARIABLE result)
if(NOT result EQUAL 0)
  message(FATAL_ERROR "the files of ${WORK} differ")
endif()
