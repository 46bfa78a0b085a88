# MuJoCo's library and headers: MUJOCO_ROOT (a release archive, unpacked), or what
# deploy/install-dependencies unpacked. Defines mujoco::mujoco.
set(_roots ${MUJOCO_ROOT} $ENV{MUJOCO_ROOT} ${CMAKE_SOURCE_DIR}/.dependencies/mujoco)
find_path(MuJoCo_INCLUDE_DIR mujoco/mujoco.h PATHS ${_roots} PATH_SUFFIXES include NO_DEFAULT_PATH)
find_library(MuJoCo_LIBRARY mujoco PATHS ${_roots} PATH_SUFFIXES lib NO_DEFAULT_PATH)
include(FindPackageHandleStandardArgs)
find_package_handle_standard_args(MuJoCo REQUIRED_VARS MuJoCo_LIBRARY MuJoCo_INCLUDE_DIR
  REASON_FAILURE_MESSAGE "run deploy/install-dependencies, or set MUJOCO_ROOT to an unpacked release of MuJoCo 4")
if(MuJoCo_FOUND AND NOT TARGET mujoco::mujoco)
  add_library(mujoco::mujoco SHARED IMPORTED)
  set_target_properties(mujoco::mujoco PROPERTIES
    IMPORTED_LOCATION ${MuJoCo_LIBRARY}
    INTERFACE_INCLUDE_DIRECTORIES ${MuJoCo_INCLUDE_DIR})
endif()
