// backflip task new.
#include <filesystem>
#include <string>

#include "absl/strings/str_format.h"
#include "cli/command.h"
#include "cli/output/replay.h"

namespace backflip::cli {
namespace {

absl::Status MakeTask(const Call& call) {
  // a folder here, named like the model
  const std::string folder = std::filesystem::path(call.Word(0)).stem().string();
  const absl::Status made = NewTask(call.Word(0), folder);
  if (!made.ok() && !absl::IsUnavailable(made)) return made;
  absl::PrintF(
      "wrote %s/task.textproto, which says what to change in it\n"
      "      %s/preview.gif: %s\n"
      "Put your question into the task, then let people answer:\n"
      "  ./backflip train --task ./%s --human\n"
      "or give it a true_reward, by which simulated teachers answer (docs/tasks.md).\n",
      folder, folder, made.ok() ? "the model under random actions" : made.message(), folder);
  return absl::OkStatus();
}

const Registered kRegistered{
    {Section::kSetUp,
     "task new ROBOT.xml",
     "write a first task for a model, and show it moving",
     MakeTask,
     {},
     "The task is a folder here, named like the model; docs/tasks.md explains its file."},
};

}  // namespace
}  // namespace backflip::cli
