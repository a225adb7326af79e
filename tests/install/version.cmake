# Does the installed package serve somebody who asks for a version? cmake -DCONFIG=... -DPACKAGE_FIND_VERSION=... -P
include("${CONFIG}/honker-config-version.cmake")
if(NOT PACKAGE_VERSION_COMPATIBLE)
  message(FATAL_ERROR "honker ${PACKAGE_VERSION} does not do for ${PACKAGE_FIND_VERSION}")
endif()
