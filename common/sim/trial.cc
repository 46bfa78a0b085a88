#include "common/sim/trial.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <optional>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/time/clock.h"
#include "absl/types/span.h"
#include "common/base/status_macros.h"

namespace backflip::sim {
namespace {

constexpr int kTrialSteps = 100, kTrialEpisodes = 10;
constexpr absl::Duration kMostTime = absl::Seconds(60);
constexpr size_t kMostWords = 2000;

// A file that exists in memory alone.
class MemoryFile {
 public:
  MemoryFile() : file_(memfd_create("task-trial", MFD_CLOEXEC)) {}
  ~MemoryFile() {
    if (file_ >= 0) close(file_);
  }
  int file() const { return file_; }
  bool Fill(const std::string& bytes) {
    for (size_t at = 0; at < bytes.size();) {
      const ssize_t written = pwrite(file_, bytes.data() + at, bytes.size() - at, at);
      if (written <= 0) return false;
      at += written;
    }
    return file_ >= 0;
  }
  std::string Text() const {
    std::string text(kMostWords, '\0');
    text.resize(std::max<ssize_t>(0, pread(file_, text.data(), text.size(), 0)));
    return std::string(absl::StripAsciiWhitespace(text));
  }

 private:
  const int file_;
};

// How the process ended; nullopt: it took too long, and was killed.
std::optional<int> WaitFor(pid_t process) {
  const absl::Time end = absl::Now() + kMostTime;
  absl::Duration pause = absl::Milliseconds(1);
  int how = 0;
  while (waitpid(process, &how, WNOHANG) == 0) {
    if (absl::Now() > end) {
      kill(process, SIGKILL);
      waitpid(process, &how, 0);
      return std::nullopt;
    }
    absl::SleepFor(pause);
    pause = std::min(pause * 2, absl::Milliseconds(50));
  }
  return how;
}

absl::Status Try(const std::string& argument, const std::string& input) {
  std::error_code error;
  const std::string program =
      (std::filesystem::read_symlink("/proc/self/exe", error).parent_path() / "task-trial")
          .string();
  MemoryFile in, out;
  if (!in.Fill(input) || out.file() < 0) {
    return absl::UnavailableError("no memory for the trial of a task");
  }
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_adddup2(&files, in.file(), STDIN_FILENO);
  posix_spawn_file_actions_adddup2(&files, out.file(), STDOUT_FILENO);
  posix_spawn_file_actions_adddup2(&files, out.file(), STDERR_FILENO);
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  posix_spawnattr_setsigmask(&attributes, &none);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  std::string words[] = {program, argument};
  char* argv[] = {words[0].data(), words[1].data(), nullptr};
  pid_t process = 0;
  const int failed = posix_spawn(&process, program.c_str(), &files, &attributes, argv, environ);
  posix_spawnattr_destroy(&attributes);
  posix_spawn_file_actions_destroy(&files);
  if (failed != 0) {
    return absl::UnavailableError(absl::StrCat("cannot start ", program, ": ", strerror(failed)));
  }
  const std::optional<int> how = WaitFor(process);
  if (how == 0) return absl::OkStatus();
  const std::string said = out.Text();
  if (how.has_value() && WIFEXITED(*how) && WEXITSTATUS(*how) > kTrialFailed) {
    return absl::Status(static_cast<absl::StatusCode>(WEXITSTATUS(*how) - kTrialFailed), said);
  }
  std::string end = absl::StrCat("took more than ", absl::FormatDuration(kMostTime));
  if (how.has_value()) {
    end = WIFSIGNALED(*how) ? absl::StrCat("was killed by signal ", WTERMSIG(*how))
                            : absl::StrCat("ended with code ", WEXITSTATUS(*how));
  }
  return absl::FailedPreconditionError(
      absl::StrCat("the task cannot be loaded and simulated: the process that tried it ", end,
                   said.empty() ? "" : ". It said: ", said));
}

// What random actions lead to.
struct Course {
  int diverged = 0;       // episodes that ended so
  int steps = 0;          // of all of these
  bool has_clip = false;  // an episode had a clip's length, or ended in another way
};

// Of kTrialSteps steps; and, where the physics diverges, of as many episodes as it takes to see one
// that has a clip's length, up to kTrialEpisodes.
absl::StatusOr<Course> Follow(const Task& task) {
  ASSIGN_OR_RETURN(const auto environment, task.MakeEnvironment());
  RETURN_IF_ERROR(environment->Begin(1, Environment::Purpose::kTraining));
  std::vector<float> action(task.action_size()), observation(task.observation_size());
  Course course;
  int age = 0;
  const auto undecided = [&] {
    return course.diverged > 0 && course.diverged < kTrialEpisodes && !course.has_clip;
  };
  for (int i = 1; i <= kTrialSteps || undecided(); ++i) {
    environment->DrawUniforms(absl::MakeSpan(action));
    ASSIGN_OR_RETURN(const StepResult step, environment->Step(action.data()));
    environment->Observe(observation.data());
    for (size_t j = 0; j < observation.size(); ++j) {
      if (std::isfinite(observation[j])) continue;
      return absl::OutOfRangeError(
          absl::StrCat("observation ", j, " is ", observation[j], " after step ", i));
    }
    const bool diverged = step.end == experience::End::kDiverged;
    // no clip holds a step that diverged
    if (!diverged) ++age;
    course.has_clip = course.has_clip || age >= task.task().clip().steps() ||
                      (!diverged && step.end != experience::End::kNone);
    if (step.end == experience::End::kNone) continue;
    course.diverged += diverged ? 1 : 0;
    course.steps += diverged ? age + 1 : 0;
    age = 0;
    RETURN_IF_ERROR(environment->BeginEpisode(Environment::Purpose::kTraining));
  }
  return course;
}

}  // namespace

absl::Status TryTaskFolder(const std::string& folder) {
  return Try(std::filesystem::absolute(folder).string(), "");
}
absl::Status TryTaskBundle(const std::string& bytes) { return Try("-", bytes); }

absl::Status DryRun(const Task& task) {
  ASSIGN_OR_RETURN(const Course course, Follow(task));
  if (course.diverged == 0 || course.has_clip) return absl::OkStatus();
  return absl::FailedPreconditionError(
      absl::StrCat("under random actions no episode lasted a clip's ", task.task().clip().steps(),
                   " steps: the physics diverges after about ", course.steps / course.diverged,
                   "; a smaller timestep, narrower ctrlrange or more damping may help"));
}

}  // namespace backflip::sim
