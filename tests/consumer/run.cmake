# Configures, builds and runs the consumer WAY from scratch in the folder WORK.
function(run)
  execute_process(COMMAND ${ARGN} RESULT_VARIABLE result)
  if(NOT result EQUAL 0)
    list(JOIN ARGN " " command)
    message(FATAL_ERROR "failed (${result}): ${command}")
  endif()
endfunction()

file(REMOVE_RECURSE "${WORK}")
set(options "")
if(WAY STREQUAL "find_package")
  run(${CMAKE_COMMAND} --install "${VBP_BUILD}" --prefix "${WORK}/prefix")
  list(APPEND options "-DCMAKE_PREFIX_PATH=${WORK}/prefix" "-DIMAGES=${IMAGES}" "-DONNX=${ONNX}")
elseif(WAY STREQUAL "add_subdirectory")
  list(APPEND options "-DVBP_SOURCE=${VBP_SOURCE}")
else()
  # Nothing is downloaded: vbp and its header-only dependencies come from local copies, made in the layout of
  # their repositories from the headers that this build uses, and the system's packages are not looked for.
  list(APPEND options "-DFETCHCONTENT_FULLY_DISCONNECTED=ON" "-DFETCHCONTENT_SOURCE_DIR_VBP=${VBP_SOURCE}")
  # Each: its name, what find_package calls it, its headers, their folder in its repository.
  foreach(copy IN ITEMS "Eigen3|Eigen3|Eigen|." "xsimd|xsimdHeader|xsimd|include"
                        "nlohmann_json|nlohmann_json|nlohmann|include" "xxHash|xxHashHeader|xxhash.h|.")
    string(REPLACE "|" ";" copy "${copy}")
    list(GET copy 0 name)
    list(GET copy 1 package)
    list(GET copy 2 headers)
    list(GET copy 3 folder)
    find_path(${name}_headers ${headers} PATHS ${INCLUDES} REQUIRED)
    file(COPY "${${name}_headers}/${headers}" DESTINATION "${WORK}/${name}/${folder}")
    string(TOUPPER ${name} upper)
    list(APPEND options "-DFETCHCONTENT_SOURCE_DIR_${upper}=${WORK}/${name}"
         "-DCMAKE_DISABLE_FIND_PACKAGE_${package}=ON")
  endforeach()
endif()

run(${CMAKE_COMMAND}
    -S
    "${CMAKE_CURRENT_LIST_DIR}/${WAY}"
    -B
    "${WORK}/build"
    -G
    "${GENERATOR}"
    "-DCMAKE_CXX_COMPILER=${COMPILER}"
    -DCMAKE_BUILD_TYPE=Debug
    ${options})
run(${CMAKE_COMMAND} --build "${WORK}/build")
run("${WORK}/build/consumer")
if(WAY STREQUAL "find_package" AND IMAGES)
  run("${WORK}/build/images")
endif()
if(WAY STREQUAL "find_package" AND ONNX)
  run("${WORK}/build/onnx_writer" "${WORK}/model.onnx")
endif()
