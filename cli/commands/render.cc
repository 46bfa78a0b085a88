// backflip render.
#include <cstdint>
#include <string>

#include "absl/strings/str_format.h"
#include "cli/command.h"
#include "cli/output/replay.h"
#include "cli/session.h"
#include "cli/values.h"
#include "common/base/status_macros.h"

namespace backflip::cli {
namespace {

struct RenderFlags {
  std::string out;
  uint64_t episode_seed = 1;
};
RenderFlags& flags = *new RenderFlags;

absl::Status Render(const Call& call) {
  ASSIGN_OR_RETURN(const Snapshot snapshot, ParseSnapshot(call.Word(0)));
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(const v1::Run run, session.broker->Get(snapshot.run_id));
  RETURN_IF_ERROR(
      FilmSnapshot(*session.broker, run, snapshot.version, flags.episode_seed, flags.out));
  absl::PrintF("%s\n", flags.out);
  return absl::OkStatus();
}

const Registered kRegistered{
    {Section::kRuns,
     "render RUN[@VERSION]",
     "film an episode of the best snapshot, or of one",
     Render,
     {Flag("out FILE.gif", &flags.out, "GIF file to write").Required(),
      {"episode-seed N", &flags.episode_seed, "seed of the episode's start"}}},
};

}  // namespace
}  // namespace backflip::cli
