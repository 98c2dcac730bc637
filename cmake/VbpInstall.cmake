# The installed package, which find_package(vbp) finds: the headers, and vbp::compiled for this machine's family of
# processors.
include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

set(package_folder "${CMAKE_INSTALL_LIBDIR}/cmake/vbp")
configure_package_config_file("${PROJECT_SOURCE_DIR}/cmake/vbpConfig.cmake.in" "${PROJECT_BINARY_DIR}/vbpConfig.cmake"
                              INSTALL_DESTINATION "${package_folder}")
write_basic_package_version_file("${PROJECT_BINARY_DIR}/vbpConfigVersion.cmake" COMPATIBILITY SameMinorVersion)

set(vbp_installed vbp vbp_compiled)
set(vbp_installed_components "")
foreach(component IN LISTS VBP_COMPONENTS)
  if(TARGET vbp_compiled_${component})
    list(APPEND vbp_installed_components ${component})
  endif()
endforeach()
install(TARGETS ${vbp_installed} EXPORT vbpTargets ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
install(
  EXPORT vbpTargets
  NAMESPACE vbp::
  DESTINATION "${package_folder}")
# The targets of each component are in their own file. They need libraries that are missing on the machine of a user
# who does not use the component.
foreach(component IN LISTS vbp_installed_components)
  install(
    TARGETS vbp_compiled_${component}
    EXPORT vbp_${component}_targets
    ARCHIVE DESTINATION "${CMAKE_INSTALL_LIBDIR}")
  install(
    EXPORT vbp_${component}_targets
    FILE vbp_${component}_targets.cmake
    NAMESPACE vbp::
    DESTINATION "${package_folder}")
endforeach()
install(FILES "${PROJECT_BINARY_DIR}/vbpConfig.cmake" "${PROJECT_BINARY_DIR}/vbpConfigVersion.cmake"
              cmake/FindxsimdHeader.cmake cmake/FindxxHashHeader.cmake cmake/VbpVariants.cmake DESTINATION "${package_folder}")
install(DIRECTORY include/vbp DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}")
install(FILES LICENSE DESTINATION "${CMAKE_INSTALL_DOCDIR}")
if(TARGET vbp_tool)
  install(TARGETS vbp_tool DESTINATION "${CMAKE_INSTALL_BINDIR}")
endif()
