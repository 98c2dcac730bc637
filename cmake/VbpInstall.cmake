# The package as find_package(vbp) sees it. Headers only, so one package serves every architecture.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package_folder "${CMAKE_INSTALL_DATADIR}/cmake/vbp")
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/vbpConfig.cmake.in" "${PROJECT_BINARY_DIR}/vbpConfig.cmake"
                              INSTALL_DESTINATION "${package_folder}")
write_basic_package_version_file(
  "${PROJECT_BINARY_DIR}/vbpConfigVersion.cmake"
  COMPATIBILITY SameMinorVersion
  ARCH_INDEPENDENT)

install(TARGETS vbp EXPORT vbpTargets)
install(
  EXPORT vbpTargets
  NAMESPACE vbp::
  DESTINATION "${package_folder}")
install(FILES "${PROJECT_BINARY_DIR}/vbpConfig.cmake" "${PROJECT_BINARY_DIR}/vbpConfigVersion.cmake"
              cmake/FindxsimdHeader.cmake cmake/FindxxHashHeader.cmake cmake/VbpVariants.cmake DESTINATION "${package_folder}")
install(DIRECTORY include/vbp DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")
if(TARGET vbp_tool)
  install(TARGETS vbp_tool DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()
