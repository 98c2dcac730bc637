# The targets besides vbp::vbp. They depend on the machine and the libraries that they are used with, so the build tree
# and the installed package both define them through this file:
#
# vbp::native  vbp::vbp compiled for this machine's CPU (with vbp::vbp, the user chooses the instruction set)
# vbp::images  vbp::vbp with libjpeg and libpng, for vbp/io/decode.hpp and vbp/io/image_stream.hpp
# vbp::onnx    vbp::vbp with ONNX's protobuf definition, for vbp/models/<family>/onnx.hpp
#
# vbp_variant_scope may be GLOBAL or empty; vbp_want_images and vbp_want_onnx are AUTO, ON or OFF.
if(NOT TARGET vbp::native)
  add_library(vbp::native INTERFACE IMPORTED ${vbp_variant_scope})
  target_link_libraries(vbp::native INTERFACE vbp::vbp)
  if(CMAKE_CROSSCOMPILING)
    message(STATUS "vbp: cross-compiling, so vbp::native is the same as vbp::vbp")
  elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64|arm)")
    target_compile_options(vbp::native INTERFACE -mcpu=native)
  else()
    target_compile_options(vbp::native INTERFACE -march=native)
  endif()
endif()

if(NOT TARGET vbp::images AND NOT vbp_want_images STREQUAL "OFF")
  find_package(JPEG QUIET ${vbp_variant_scope})
  find_package(PNG QUIET ${vbp_variant_scope})
  if(JPEG_FOUND AND PNG_FOUND)
    add_library(vbp::images INTERFACE IMPORTED ${vbp_variant_scope})
    target_link_libraries(vbp::images INTERFACE vbp::vbp JPEG::JPEG PNG::PNG)
  elseif(vbp_want_images STREQUAL "ON")
    message(FATAL_ERROR "vbp: VBP_IMAGES is ON, but libjpeg or libpng is missing")
  else()
    message(STATUS "vbp: libjpeg or libpng is missing, so there is no vbp::images")
  endif()
endif()

if(NOT TARGET vbp::onnx AND NOT vbp_want_onnx STREQUAL "OFF")
  # If the project builds ONNX itself, the system's ONNX would be a second copy.
  if(NOT TARGET onnx_proto)
    find_package(Protobuf QUIET ${vbp_variant_scope})
    if(Protobuf_FOUND)
      find_package(ONNX QUIET CONFIG ${vbp_variant_scope})
    endif()
  endif()
  if(TARGET onnx_proto AND TARGET protobuf::libprotobuf)
    add_library(vbp::onnx INTERFACE IMPORTED ${vbp_variant_scope})
    target_link_libraries(vbp::onnx INTERFACE vbp::vbp onnx_proto)
  elseif(vbp_want_onnx STREQUAL "ON")
    message(FATAL_ERROR "vbp: VBP_ONNX is ON, but libonnx or libprotobuf is missing")
  else()
    message(STATUS "vbp: libonnx or libprotobuf is missing, so there is no vbp::onnx")
  endif()
endif()
