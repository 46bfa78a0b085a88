# cmake -DOUT=file.cc -DFOLDER=checkout -P write_commit.cmake: writes the line of --version that says which commit was
# built. Where there is no Git, as in an image, $BACKFLIP_COMMIT says it.
set(commit $ENV{BACKFLIP_COMMIT})
if(NOT commit)
  execute_process(COMMAND git -C ${FOLDER} describe --always --abbrev=12 --exclude=* --dirty=-changed
    OUTPUT_VARIABLE commit OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
endif()
if(NOT commit)
  set(commit unknown)
endif()
file(CONFIGURE OUTPUT ${OUT} @ONLY CONTENT [[
#include "common/base/version.h"

namespace {
const backflip::base::VersionLine version_line("commit", "@commit@");
}  // namespace
]])
