#include "cli/commands/train.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "backflip/v1/work.grpc.pb.h"
#include "cli/command.h"
#include "cli/launcher/paths.h"
#include "cli/output/chart.h"
#include "cli/output/links.h"
#include "cli/output/replay.h"
#include "cli/output/report.h"
#include "cli/output/status_block.h"
#include "cli/session.h"
#include "common/base/cores.h"
#include "common/base/status_macros.h"
#include "common/client/snapshot_client.h"
#include "common/experience/limits.h"
#include "common/method/batches.h"
#include "common/options/run_spec.h"
#include "common/sim/clip.h"
#include "common/sim/mujoco/scene.h"
#include "common/sim/task.h"
#include "common/sim/trial.h"
#include "common/teachers/teacher.h"

namespace backflip::cli {
namespace {

namespace fs = std::filesystem;

// Empty for "none".
std::vector<std::string> TeachersOf(const std::string& teacher) {
  if (teacher == kNoTeacher) return {};
  return absl::StrSplit(teacher, ',');
}

absl::StatusOr<v1::Run> ContinueRun(const TrainOptions& options,
                                    const client::BrokerClient& broker) {
  int64_t run_id = *options.continue_run;
  if (run_id == 0) {
    ASSIGN_OR_RETURN(run_id, RunOrNewest(broker, ""));
  }
  ASSIGN_OR_RETURN(const v1::Run run, broker.Get(run_id));
  int64_t labels = 0;
  int64_t steps = 0;
  if (!options.labels.empty()) {
    ASSIGN_OR_RETURN(labels, ParseCount("labels", options.labels, true));
    // as many steps for each label as the run had
    steps = static_cast<int64_t>(static_cast<double>(labels) * run.spec().steps() /
                                 run.spec().labels());
  }
  if (!options.steps.empty()) {
    ASSIGN_OR_RETURN(steps, ParseCount("steps", options.steps, true));
  }
  if (run.state() == v1::FINISHED && steps == 0) {
    return absl::InvalidArgumentError(absl::StrCat(
        "run ", run.id(),
        " is finished. Say how much further it should go: --labels +N, --steps +N, or both"));
  }
  // before the run changes
  RETURN_IF_ERROR(CheckLabelers(options, run.spec(), run.task()));
  // a launcher that was killed left it so
  if (!Ended(run.state())) RETURN_IF_ERROR(broker.Cancel(run.id(), /*pause=*/true).status());
  return broker.Continue(run.id(), static_cast<int32_t>(labels), steps);
}

// Runs that a killed launcher left behind would be served before this one.
absl::Status PauseLeftRuns(const client::BrokerClient& broker, LiveStatus* live) {
  ASSIGN_OR_RETURN(const std::vector<v1::Run> runs, broker.List(1000));
  for (const v1::Run& run : runs) {
    if (Ended(run.state())) continue;
    RETURN_IF_ERROR(broker.Cancel(run.id(), /*pause=*/true).status());
    live->Say(absl::StrCat("run ", run.id(),
                           " had been left unfinished and is paused; go on with it by --continue ",
                           run.id()));
  }
  return absl::OkStatus();
}

// A link for the person at this machine, named again where they let the run wait: `broker` is asked
// for as long as `live` shows it.
absl::Status ShowLinks(const client::BrokerClient& broker, const std::string& url, int64_t run_id,
                       LiveStatus* live) {
  ASSIGN_OR_RETURN(const std::string label, RunLink(broker, url, run_id, v1::INVITE_LABELER));
  live->Say(
      absl::StrCat("\nAnswer here, with the arrow keys (the link works once; `backflip label` "
                   "makes more, and `backflip dashboard` one that shows how it goes):\n\n  ",
                   label, "\n"));
  live->RemindWhileWaiting([&broker, label] {
    return LetsIn(broker, label)
               ? absl::StrCat("It waits for answers. Answer here:\n\n  ", label, "\n")
               : "It waits for answers: go on in the browser where the link was opened, or make "
                 "another link by `backflip label`.";
  });
  OpenInBrowser(label);
  return absl::OkStatus();
}

// Writes the files of results; a chart or film that cannot be drawn is left out, with the reason.
absl::Status WriteResults(const TrainOptions& options, const client::BrokerClient& broker,
                          const v1::Run& run, double wall_seconds, double steps_per_second) {
  ASSIGN_OR_RETURN(const auto evaluations, broker.Evaluations(run.id()));
  const Results results = Summarise(run, evaluations, wall_seconds, steps_per_second);
  std::printf("\n%s", ToText(results).c_str());
  std::fflush(stdout);
  const std::string folder = absl::StrCat(DataFolder(options.stack), "/runs/", run.id());
  std::error_code error;
  fs::create_directories(folder, error);
  RETURN_IF_ERROR(WriteFile(folder + "/result.json", ToJson(results)));
  if (!options.json.empty()) {
    RETURN_IF_ERROR(WriteFile(options.json, ToJson(results)));
  }

  const std::string curve = folder + "/curve.svg";
  absl::StatusOr<std::vector<v1::MetricPoint>> points = broker.Metrics(run.id());
  absl::Status drawn = points.ok() ? WriteCurve(run, *points, curve) : points.status();
  std::printf("  %-22s %s\n", "training curve",
              drawn.ok() ? curve.c_str() : drawn.ToString().c_str());
  // films an episode that is in the results
  uint64_t seed = 1;
  for (const v1::Evaluation& evaluation : evaluations) {
    if (evaluation.final() && evaluation.policy_version() == run.best_version()) {
      seed = evaluation.seed();
      break;
    }
  }
  const std::string film = folder + "/behaviour.gif";
  drawn = FilmSnapshot(broker, run, 0, seed, film);
  std::printf("  %-22s %s\n", "learned behaviour",
              drawn.ok() ? film.c_str() : drawn.ToString().c_str());
  std::printf("  %-22s %s (run %d)\n", "the run itself", DataFolder(options.stack).c_str(),
              static_cast<int>(run.id()));
  return absl::OkStatus();
}

// The layer of options that the command line gives: the file's under the flags'.
absl::StatusOr<v1::RunSpec> RequestedSpec(const TrainOptions& options) {
  v1::RunSpec spec;
  if (options.teacher == kNoTeacher) spec.set_lockstep(false);
  if (!options.spec.empty()) {
    ASSIGN_OR_RETURN(const v1::RunSpec file, options::ReadRunSpecFile(options.spec));
    spec = options::Overlay(spec, file);
  }
  if (!options.labels.empty()) {
    ASSIGN_OR_RETURN(const int64_t labels, ParseCount("labels", options.labels, false));
    // more than an int32 holds is too many as well: refused with the range
    spec.set_labels(
        static_cast<int32_t>(std::min<int64_t>(labels, std::numeric_limits<int32_t>::max())));
  }
  if (!options.steps.empty()) {
    ASSIGN_OR_RETURN(const int64_t steps, ParseCount("steps", options.steps, false));
    spec.set_steps(steps);
  }
  if (options.seed.has_value()) spec.set_seed(*options.seed);
  return spec;
}

}  // namespace

absl::StatusOr<int64_t> ParseCount(const std::string& flag, const std::string& text, bool added) {
  absl::string_view digits = text;
  const bool plus = absl::ConsumePrefix(&digits, "+");
  int64_t count = 0;
  if (!absl::SimpleAtoi(digits, &count) || count < 1) {
    return absl::InvalidArgumentError(absl::StrCat("--", flag, " is '", text,
                                                   "'; it must be a whole number of at least 1",
                                                   added ? ", after a +" : ""));
  }
  if (added && !plus) {
    return absl::InvalidArgumentError(
        absl::StrCat("with --continue, --", flag, " says how many more: --", flag, " +", count));
  }
  if (!added && plus) {
    return absl::InvalidArgumentError(absl::StrCat(
        "--", flag, " ", text, " adds to a run that is continued: give --continue, too"));
  }
  return count;
}

absl::StatusOr<v1::RunSpec> ResolveSpec(const TrainOptions& options, const v1::Task& task) {
  ASSIGN_OR_RETURN(const v1::RunSpec requested, RequestedSpec(options));
  return options::ResolveRunSpec(task.defaults(), options.human, requested);
}

absl::Status CheckPages(const TrainOptions& options) {
  const PagesOptions& pages = options.pages;
  if (!options.human) {
    const bool any = pages.share || !pages.tls_certificate.empty() || !pages.tls_key.empty() ||
                     !pages.listen.empty() ||
                     // beside --broker it is for whatever makes links
                     (!pages.public_url.empty() && options.stack.broker.empty());
    return any ? absl::InvalidArgumentError(
                     "--share, --http-listen, --tls-certificate, --tls-key and --public-url are "
                     "about the pages for people: give --human, too")
               : absl::OkStatus();
  }
  if (!options.stack.broker.empty()) {
    if (pages.share || !pages.tls_certificate.empty() || !pages.tls_key.empty() ||
        !pages.listen.empty()) {
      return absl::InvalidArgumentError(
          "with --broker the pages are served there: --share, --http-listen, --tls-certificate and "
          "--tls-key have no meaning here");
    }
    if (pages.public_url.empty()) {
      return absl::InvalidArgumentError(
          "with --broker, --human needs to know how browsers reach the pages there: --public-url "
          "https://...");
    }
    return CheckPublicUrl(pages.public_url).status();
  }
  return ChoosePagesAddress(pages).status();
}

absl::Status CheckLabelers(const TrainOptions& options, const v1::RunSpec& spec,
                           const v1::TaskInfo& task) {
  const std::vector<std::string> teachers = TeachersOf(options.teacher);
  for (const std::string& name : teachers) {
    if (!backflip::teachers::TraitsOf(name).ok()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--teacher is '", name, "'; there are ", backflip::teachers::TeacherNames(),
                       ", and several of them (oracle,inverted); with --human people answer"));
    }
  }
  if (teachers.empty() || !options.stack.broker.empty()) return absl::OkStatus();
  for (const std::string& name : teachers) {
    if (const absl::Status fits = backflip::teachers::CheckTask(name, task); !fits.ok()) {
      return absl::Status(fits.code(),
                          absl::StrCat(fits.message(), ". Or let people answer (--human)"));
    }
  }
  const int count = static_cast<int>(teachers.size());
  // people may yet be invited
  if (options.human || spec.reward() == v1::TRUE || spec.queries().overlap_share() == 0 ||
      spec.queries().overlap() <= count) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(
      absl::StrCat("queries.overlap is ", spec.queries().overlap(), ", and ", count,
                   count == 1 ? " teacher answers" : " teachers answer",
                   ", each of them a question once: the run would wait for ever. Give more "
                   "teachers (--teacher oracle,oracle), or let people answer (--human)"));
}

absl::StatusOr<v1::TaskInfo> PutTask(const client::BrokerClient& broker, const sim::Task& task) {
  RETURN_IF_ERROR(client::PutBundle(broker.client(), task.bundle().bytes));
  v1::PutSceneRequest scene;
  ASSIGN_OR_RETURN(*scene.mutable_glb(), sim::SceneGlb(task));
  ASSIGN_OR_RETURN(const v1::PutSceneResponse stored,
                   broker.Call<v1::BundleService>(&v1::BundleService::Stub::PutScene, scene));
  v1::TaskInfo info = InfoOf(task);
  info.set_scene_hash(stored.scene_hash());
  return info;
}

absl::StatusOr<v1::Run> CreateRun(const TrainOptions& options, const client::BrokerClient& broker) {
  ASSIGN_OR_RETURN(const std::string folder, FindTask(options.task));
  ASSIGN_OR_RETURN(const auto task, sim::Task::FromFolder(folder));
  ASSIGN_OR_RETURN(const v1::RunSpec requested, RequestedSpec(options));
  ASSIGN_OR_RETURN(const v1::TaskInfo info, PutTask(broker, *task));
  return broker.Create(requested, info, options.human, options.labels_from);
}

namespace {

// A clip travels to the broker whole, and its question with the pictures of all clips.
absl::Status CheckClipSizes(const sim::Task& task, const v1::RunSpec& spec) {
  if (spec.reward() == v1::TRUE) return absl::OkStatus();
  const sim::ClipBytes bytes = sim::BytesOfClips(task);
  const int64_t largest =
      std::max(bytes.whole, spec.queries().clips_per_question() * bytes.picture);
  if (largest <= experience::kMaxPayloadBytes) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrFormat(
      "clips of %d steps with %d bodies are too large: one has %d bytes, and the pictures of a "
      "question's %d have %d; at most %d are sent at a time. Shorten the task's clip.steps, or "
      "give its model fewer bodies",
      task.task().clip().steps(), task.bodies(), bytes.whole, spec.queries().clips_per_question(),
      spec.queries().clips_per_question() * bytes.picture, experience::kMaxPayloadBytes));
}

// What can be refused is refused before anything is started.
absl::Status CheckBeforeStart(const TrainOptions& options) {
  if (options.workers < 0 || options.workers > 1024) {
    return absl::InvalidArgumentError(
        absl::StrCat("--workers is ", options.workers, "; allowed: 0 (all cores) to 1024"));
  }
  RETURN_IF_ERROR(CheckPages(options));
  if (options.continue_run.has_value()) return absl::OkStatus();
  ASSIGN_OR_RETURN(const std::string folder, FindTask(options.task));
  RETURN_IF_ERROR(sim::TryTaskFolder(folder));
  ASSIGN_OR_RETURN(const auto task, sim::Task::FromFolder(folder));
  ASSIGN_OR_RETURN(const v1::RunSpec spec, ResolveSpec(options, task->task()));
  const v1::TaskInfo info = InfoOf(*task);
  RETURN_IF_ERROR(options::CheckFitsTask(spec, info));
  RETURN_IF_ERROR(method::CheckRolloutSizes(spec, info));
  RETURN_IF_ERROR(CheckClipSizes(*task, spec));
  return CheckLabelers(options, spec, info);
}

// A broker elsewhere, or a stack of our own, with no run that was left in it unfinished.
absl::StatusOr<Session> Begin(const TrainOptions& options, base::ShutdownSignal* shutdown,
                              LiveStatus* live) {
  if (!options.stack.broker.empty()) return ConnectToBroker(options.stack, shutdown);
  live->Say("starting the database and the broker");
  ASSIGN_OR_RETURN(
      Session session,
      StartStack(options.stack, options.human ? std::make_optional(options.pages) : std::nullopt,
                 shutdown));
  if (session.stack->private_database() && !options.continue_run.has_value()) {
    RETURN_IF_ERROR(PauseLeftRuns(*session.broker, live));
  }
  return session;
}

std::string Introduction(const TrainOptions& options, const v1::Run& run) {
  std::string source = "on its true reward";
  if (run.spec().reward() != v1::TRUE) {
    source = absl::StrCat(run.spec().labels(), " labels from ",
                          options.teacher == kNoTeacher
                              ? "people"
                              : absl::StrCat(options.human ? "people and " : "", options.teacher));
  }
  return absl::StrFormat(
      "run %d: %s, %s, %d steps, seed %d; logs in %s", run.id(), run.task().name(), source,
      run.spec().steps(), run.spec().seed(),
      options.stack.broker.empty() ? DataFolder(options.stack) + "/logs" : options.stack.broker);
}

// Starts what serves the run, where the stack is ours, and shows people the way to it.
absl::Status Serve(const TrainOptions& options, const v1::Run& run, const Session& session,
                   LiveStatus* live) {
  if (session.stack != nullptr) {
    const int cores = base::UsableCores();
    RETURN_IF_ERROR(session.stack->Serve({.run_id = run.id(),
                                          .threads = options.workers > 0 ? options.workers : cores,
                                          .preferences = run.spec().reward() != v1::TRUE,
                                          .teachers = TeachersOf(options.teacher),
                                          .seed = run.spec().seed()}));
  }
  if (!options.human) return absl::OkStatus();
  std::string url = session.stack != nullptr ? session.stack->pages_url() : "";
  if (url.empty()) {
    ASSIGN_OR_RETURN(url, CheckPublicUrl(options.pages.public_url));
  }
  return ShowLinks(*session.broker, url, run.id(), live);
}

// Nobody follows the run any longer: it goes on elsewhere, or is paused here, and our stack ends.
void Leave(const TrainOptions& options, int64_t run_id, Session* session, LiveStatus* live) {
  if (session->stack == nullptr) {
    live->Say(absl::StrFormat(
        "run %d goes on at %s; `backflip watch %d` follows it, `backflip cancel %d` ends it",
        run_id, options.stack.broker, run_id, run_id));
    return;
  }
  live->Say("ending everything");
  // their last checkpoints first
  session->stack->StopServing();
  // the session's own client would not call any more
  const client::BrokerClient broker(session->broker->client(), nullptr);
  if (broker.Cancel(run_id, /*pause=*/true).ok()) {
    live->Say(absl::StrCat("run ", run_id, " is paused; `./backflip train --continue ", run_id,
                           "` goes on with it"));
  }
  session->stack->Stop();
}

absl::Status CheckFinished(const v1::Run& run) {
  if (run.state() == v1::FINISHED) return absl::OkStatus();
  if (run.state() == v1::FAILED) {
    return absl::InternalError(absl::StrCat("run ", run.id(), " failed: ", run.message()));
  }
  return absl::CancelledError(
      absl::StrCat("run ", run.id(), " was ended from elsewhere: it is ", StateName(run.state())));
}

// All of it. CANCELLED when interrupted: then the run is paused, and everything has ended.
absl::Status Train(const TrainOptions& options, base::ShutdownSignal* shutdown) {
  const absl::Time start = absl::Now();
  LiveStatus live(stdout);
  RETURN_IF_ERROR(CheckBeforeStart(options));
  ASSIGN_OR_RETURN(Session session, Begin(options, shutdown, &live));
  ASSIGN_OR_RETURN(const v1::Run begun, options.continue_run.has_value()
                                            ? ContinueRun(options, *session.broker)
                                            : CreateRun(options, *session.broker));
  live.Say(Introduction(options, begun));
  const absl::Time training = absl::Now();
  RETURN_IF_ERROR(Serve(options, begun, session, &live));
  const absl::StatusOr<v1::Run> run = Follow(session, begun.id(), shutdown, &live);
  const absl::Time end = absl::Now();
  if (!run.ok()) {
    Leave(options, begun.id(), &session, &live);
    return run.status();
  }
  if (session.stack != nullptr) session.stack->StopServing();
  RETURN_IF_ERROR(CheckFinished(*run));
  const double seconds = absl::ToDoubleSeconds(end - training);
  return WriteResults(options, *session.broker, *run, absl::ToDoubleSeconds(end - start),
                      (run->steps() - begun.steps()) / std::max(seconds, 1e-3));
}

struct TrainFlags {
  TrainOptions options;
  // Empty: as --human says.
  std::string teacher;
};
TrainFlags& flags = *new TrainFlags;

// Flags of `train` and `run`.
std::vector<Flag> CommonFlags() {
  TrainOptions& o = flags.options;
  return {
      {"task TASK", &o.task, "a task that comes with Backflip, or the path of a task folder"},
      {"labels N", &o.labels,
       "comparisons to learn from; with --continue, +N more. Default: the task's"},
      {"steps N", &o.steps,
       "control steps of training; with --continue, +N more. Default: the task's"},
      {"teacher NAME,...", &flags.teacher,
       absl::StrCat("simulated teacher: ", backflip::teachers::TeacherNames(),
                    "; several labelers apart by commas (oracle,oracle,inverted). Default: oracle, "
                    "and none with --human")},
      {"human", &o.human,
       "people answer, on a page whose link is printed; with --teacher, both answer"},
      {"labels-from RUN", &o.labels_from, "begin with the labels of this run"},
      {"seed N", &o.seed, "seed of everything that is drawn; the same seed gives the same run"},
      {"workers N", &o.workers, "threads that simulate. Default: as many as there are cores"},
      {"json FILE", &o.json, "write the results as one JSON object to this file"},
      {"share", &o.pages.share,
       "with --human: the pages are for other machines, too; takes --tls-certificate and "
       "--tls-key, or --public-url"},
      {"http-listen ADDRESS", &o.pages.listen,
       "with --human: where the pages are served, host:port. Default: 127.0.0.1:7480, or with a "
       "certificate 0.0.0.0:7480; a free port where that is taken"},
      {"tls-certificate FILE", &o.pages.tls_certificate,
       "with --human: PEM file of the pages' certificate"},
      {"tls-key FILE", &o.pages.tls_key, "with --human: PEM file of its key"},
  };
}

std::vector<Flag> AllFlags() {
  std::vector<Flag> all = CommonFlags();
  all.push_back({"spec FILE", &flags.options.spec, "RunSpec text file over the task's defaults"});
  all.push_back({"continue [RUN]", &flags.options.continue_run,
                 "go on with a run; without a number, with the newest"});
  return all;
}

TrainOptions OptionsOf(const Call& call) {
  TrainOptions options = flags.options;
  options.stack = call.stack;
  options.teacher = !flags.teacher.empty() ? flags.teacher : options.human ? kNoTeacher : "oracle";
  options.pages.public_url = call.stack.public_url;
  // the broker does not run in this folder
  for (std::string* path : {&options.pages.tls_certificate, &options.pages.tls_key}) {
    if (!path->empty()) *path = fs::absolute(*path).string();
  }
  return options;
}

absl::Status TrainFromFile(const Call& call) {
  TrainOptions options = OptionsOf(call);
  options.spec = call.Word(0);
  if (options.stack.broker.empty()) return Train(options, call.shutdown);
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(const v1::Run run, CreateRun(options, *session.broker));
  absl::PrintF("%d\n", run.id());
  return absl::OkStatus();
}

const Registered kRegistered{
    {Section::kStart, "train", "start everything on this machine, train, and end by itself",
     [](const Call& call) { return Train(OptionsOf(call), call.shutdown); }, AllFlags(),
     "Ctrl-C pauses the run; `train --continue` goes on with it another day."},
    {Section::kRuns, "run FILE", "train from a RunSpec file; with --broker, queue a run there",
     TrainFromFile, CommonFlags(), "FILE lies over the task's defaults, and flags over FILE."},
};

}  // namespace
}  // namespace backflip::cli
