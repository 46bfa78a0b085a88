# What `cmake --install` puts below a prefix, and `cpack` into a package for the Debian that it was built on. The tree
# may be moved: programs look for each other, for MuJoCo, pages and tasks from where they are.
set(_programs backflip backflip-health preference-broker policy-learner reward-trainer rollout-worker labeler task-trial)
foreach(_program ${_programs})
  if(TARGET ${_program})
    target_link_libraries(${_program} PRIVATE backflip_commit)
    install(TARGETS ${_program} DESTINATION bin)
    if(BACKFLIP_TESTS)
      add_test(NAME ${_program}_says_its_version COMMAND ${_program} --version)
      set_tests_properties(${_program}_says_its_version PROPERTIES LABELS unit
        PASS_REGULAR_EXPRESSION "^backflip ${PROJECT_VERSION}\n.*commit ([0-9a-f]+|unknown)")
    endif()
  endif()
endforeach()
if(BACKFLIP_SIM)
  # by the name that programs ask for, which has the version; in the build at the same place, so that a program is
  # installed as it was built
  file(REAL_PATH ${MuJoCo_LIBRARY} _mujoco)
  get_filename_component(_name ${_mujoco} NAME)
  file(MAKE_DIRECTORY ${CMAKE_BINARY_DIR}/lib/backflip)
  file(CREATE_LINK ${_mujoco} ${CMAKE_BINARY_DIR}/lib/backflip/${_name} SYMBOLIC)
  set_target_properties(backflip rollout-worker task-trial PROPERTIES BUILD_WITH_INSTALL_RPATH ON INSTALL_RPATH "$ORIGIN/../lib/backflip")
  install(FILES ${_mujoco} DESTINATION lib/backflip)
endif()
install(DIRECTORY ${CMAKE_BINARY_DIR}/web DESTINATION share/backflip
  PATTERN CMakeFiles EXCLUDE PATTERN *.cmake EXCLUDE PATTERN *.stamp EXCLUDE)
install(DIRECTORY tasks DESTINATION share/backflip)
install(DIRECTORY deploy/systemd/system DESTINATION lib/systemd)
install(FILES deploy/systemd/sysusers.conf DESTINATION lib/sysusers.d RENAME backflip.conf)
install(PROGRAMS deploy/certificates DESTINATION share/backflip)
install(FILES LICENSE CHANGELOG.md DESTINATION share/doc/backflip)

execute_process(COMMAND ${CMAKE_SOURCE_DIR}/deploy/install-dependencies --list run
  OUTPUT_VARIABLE _recommended OUTPUT_STRIP_TRAILING_WHITESPACE COMMAND_ERROR_IS_FATAL ANY)
string(REPLACE "\n" ", " _recommended "${_recommended}")
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_CONTACT "The authors of Backflip <backflip@localhost>")
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY "Reinforcement learning from human preferences, as a service")
set(CPACK_STRIP_FILES ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
# Debian's own libraries, in the versions of the Debian that it was built on
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS_PRIVATE_DIRS ${CMAKE_BINARY_DIR}/lib/backflip)
set(CPACK_DEBIAN_PACKAGE_RECOMMENDS "${_recommended}")
set(CPACK_DEBIAN_PACKAGE_CONTROL_EXTRA ${CMAKE_SOURCE_DIR}/deploy/systemd/postinst)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
include(CPack)
