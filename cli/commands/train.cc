#include "cli/commands/train.h"

#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"
#include "absl/strings/strip.h"
#include "absl/time/clock.h"
#include "backflip/v1/work.grpc.pb.h"
#include "cli/launcher/paths.h"
#include "cli/output/links.h"
#include "cli/output/replay.h"
#include "cli/output/report.h"
#include "common/base/status_macros.h"
#include "common/client/snapshot_client.h"
#include "common/options/run_spec.h"
#include "common/sim/mujoco/compiled_task.h"
#include "common/sim/mujoco/scene.h"

namespace backflip::cli {
namespace {

namespace fs = std::filesystem;

// Of the questions of a person: answered before, and known.
constexpr double kRepeatShare = 0.04;
constexpr double kGoldShare = 0.05;
// Questions beside those to train on that compare the newest policy with earlier
// ones: what shows that a reward is gamed.
constexpr double kProgressShare = 0.05;

const std::vector<std::string>& Teachers() {
  static const auto* teachers =
      new std::vector<std::string>{"oracle", "stochastic", "mistake",     "skip",    "equal",
                                   "myopic", "random",     "half_random", "inverted"};
  return *teachers;
}

// Empty for "none".
std::vector<std::string> TeachersOf(const std::string& teacher) {
  if (teacher == kNoTeacher) return {};
  return absl::StrSplit(teacher, ',');
}

bool Ended(v1::RunState state) {
  return state == v1::FINISHED || state == v1::FAILED || state == v1::CANCELLED ||
         state == v1::PAUSED;
}

absl::StatusOr<v1::Run> FindRun(const client::BrokerClient& broker, int64_t run_id) {
  if (run_id != 0) return broker.Get(run_id);
  ASSIGN_OR_RETURN(const std::vector<v1::Run> runs, broker.List(1));
  if (runs.empty()) {
    return absl::NotFoundError("there is no run to go on with; start one without --continue");
  }
  return runs.front();
}

absl::StatusOr<v1::Run> ContinueRun(const TrainOptions& options,
                                    const client::BrokerClient& broker) {
  ASSIGN_OR_RETURN(const v1::Run run, FindRun(broker, *options.continue_run));
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
    return absl::InvalidArgumentError(
        absl::StrCat("run ", run.id(),
                     " is finished. Say how much further it should go: "
                     "--labels +N, --steps +N, or both"));
  }
  // before the run changes
  RETURN_IF_ERROR(CheckLabelers(options, run.spec(), run.task()));
  // of a launcher that was killed
  if (!Ended(run.state())) RETURN_IF_ERROR(broker.Cancel(run.id(), true).status());
  return broker.Continue(run.id(), static_cast<int32_t>(labels), steps);
}

// Runs that a killed launcher left behind would be served before this one.
absl::Status PauseLeftRuns(const client::BrokerClient& broker, LiveStatus* live) {
  ASSIGN_OR_RETURN(const std::vector<v1::Run> runs, broker.List(1000));
  for (const v1::Run& run : runs) {
    if (Ended(run.state())) continue;
    RETURN_IF_ERROR(broker.Cancel(run.id(), true).status());
    live->Say(absl::StrCat("run ", run.id(),
                           " had been left unfinished and is "
                           "paused; go on with it by --continue ",
                           run.id()));
  }
  return absl::OkStatus();
}

// One link for the person at this machine, and a quieter one to the dashboard.
absl::Status ShowLinks(const client::BrokerClient& broker, const std::string& url, int64_t run_id,
                       LiveStatus* live) {
  ASSIGN_OR_RETURN(const std::string label, LabelingLink(broker, url, run_id));
  ASSIGN_OR_RETURN(const std::string dashboard, DashboardLink(broker, url, run_id));
  const bool quiet = isatty(STDOUT_FILENO) != 0;
  live->Say(
      absl::StrCat("\nAnswer here, with the arrow keys (the link works once; `backflip label` "
                   "makes more):\n\n  ",
                   label, "\n\n", quiet ? "\033[2m" : "", "How it goes: ", dashboard,
                   quiet ? "\033[0m" : "", "\n"));
  OpenInBrowser(label);
  return absl::OkStatus();
}

// The files that a run leaves; what cannot be drawn is said and left out.
absl::Status WriteResults(const TrainOptions& options, const client::BrokerClient& broker,
                          const v1::Run& run, double wall_seconds, double steps_per_second) {
  ASSIGN_OR_RETURN(const auto evaluations, broker.Evaluations(run.id()));
  const Results results = Summarise(run, evaluations, wall_seconds, steps_per_second);
  std::printf("\n%s", ToText(results).c_str());
  std::fflush(stdout);
  const std::string folder = absl::StrCat(options.data, "/runs/", run.id());
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
  // an episode that was reported
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
  std::printf("  %-22s %s (run %d)\n", "the run itself", options.data.c_str(),
              static_cast<int>(run.id()));
  return absl::OkStatus();
}

// An answer reaches the policy with the next batch, and a batch waits for the
// labels that pay for it: a single person sees sooner what they taught where it
// is half as long. Updates learn from as many steps, as often, as before.
void HalveBatches(v1::RunSpec* spec) {
  v1::Collection& collection = *spec->mutable_collection();
  const int half = collection.batch_steps() / 2;
  if (half % collection.environments() != 0 || half < spec->ppo().minibatch_steps()) return;
  collection.set_batch_steps(half);
  collection.set_clips_per_batch((collection.clips_per_batch() + 1) / 2);
  v1::Ppo& ppo = *spec->mutable_ppo();
  ppo.set_reused_batches(2 * ppo.reused_batches() + 1);
  ppo.set_epochs((ppo.epochs() + 1) / 2);
}

}  // namespace

absl::StatusOr<int64_t> ParseCount(const std::string& flag, const std::string& text, bool added) {
  absl::string_view digits = text;
  const bool plus = absl::ConsumePrefix(&digits, "+");
  int64_t count = 0;
  if (!absl::SimpleAtoi(digits, &count) || count < 1) {
    return absl::InvalidArgumentError(absl::StrCat("--", flag, " is '", text,
                                                   "'; it must be a whole number "
                                                   "of at least 1",
                                                   added ? ", after a +" : ""));
  }
  if (added && !plus) {
    return absl::InvalidArgumentError(
        absl::StrCat("with --continue, --", flag, " says how many more: --", flag, " +", count));
  }
  if (!added && plus) {
    return absl::InvalidArgumentError(absl::StrCat("--", flag, " ", text,
                                                   " adds to a run that is continued: "
                                                   "give --continue, too"));
  }
  return count;
}

absl::StatusOr<v1::RunSpec> ResolveSpec(const TrainOptions& options, const v1::Task& task) {
  v1::RunSpec spec = options::Overlay(options::DefaultRunSpec(), task.defaults());
  if (options.teacher == kNoTeacher || options.human) spec.set_lockstep(false);
  if (options.human) {
    spec.mutable_quality()->set_repeat_share(kRepeatShare);
    spec.mutable_quality()->set_gold_share(kGoldShare);
    spec.mutable_queries()->set_progress_share(kProgressShare);
    HalveBatches(&spec);
  }
  if (!options.spec.empty()) {
    ASSIGN_OR_RETURN(const v1::RunSpec layer, options::ReadRunSpecFile(options.spec));
    spec = options::Overlay(spec, layer);
  }
  if (!options.labels.empty()) {
    ASSIGN_OR_RETURN(const int64_t labels, ParseCount("labels", options.labels, false));
    // what is too many is refused below, with the range
    spec.set_labels(
        static_cast<int32_t>(std::min<int64_t>(labels, std::numeric_limits<int32_t>::max())));
  }
  if (!options.steps.empty()) {
    ASSIGN_OR_RETURN(const int64_t steps, ParseCount("steps", options.steps, false));
    spec.set_steps(steps);
  }
  if (options.seed.has_value()) spec.set_seed(*options.seed);
  if (options.human && spec.steps_per_label() == 0) {
    spec.set_steps_per_label(std::max<int64_t>(1, spec.steps() / std::max(1, spec.labels())));
    spec.set_warm_up_labels(spec.labels());
  }
  RETURN_IF_ERROR(options::ValidateRunSpec(spec));
  return spec;
}

absl::Status CheckPages(const TrainOptions& options) {
  const PagesOptions& pages = options.pages;
  if (!options.human) {
    const bool any = pages.share || !pages.tls_certificate.empty() || !pages.tls_key.empty() ||
                     !pages.listen.empty() ||
                     // beside --broker it is for whatever makes links
                     (!pages.public_url.empty() && options.broker.empty());
    return any ? absl::InvalidArgumentError(
                     "--share, --http-listen, --tls-certificate, --tls-key and "
                     "--public-url are about the pages for people: give --human, "
                     "too")
               : absl::OkStatus();
  }
  if (!options.broker.empty()) {
    if (pages.share || !pages.tls_certificate.empty() || !pages.tls_key.empty() ||
        !pages.listen.empty()) {
      return absl::InvalidArgumentError(
          "with --broker the pages are served there: --share, --http-listen, "
          "--tls-certificate and --tls-key have no meaning here");
    }
    if (pages.public_url.empty()) {
      return absl::InvalidArgumentError(
          "with --broker, --human needs to know how browsers reach the pages "
          "there: --public-url https://...");
    }
    return CheckPublicUrl(pages.public_url).status();
  }
  return ChoosePagesAddress(pages).status();
}

absl::Status CheckLabelers(const TrainOptions& options, const v1::RunSpec& spec,
                           const v1::TaskInfo& task) {
  const std::vector<std::string> teachers = TeachersOf(options.teacher);
  for (const std::string& name : teachers) {
    if (std::find(Teachers().begin(), Teachers().end(), name) == Teachers().end()) {
      return absl::InvalidArgumentError(
          absl::StrCat("--teacher is '", name, "'; there are ", absl::StrJoin(Teachers(), ", "),
                       ", and several of them "
                       "(oracle,inverted); with --human people answer"));
    }
  }
  if (teachers.empty() || !options.broker.empty()) return absl::OkStatus();
  if (!task.has_true_reward()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the task ", task.name(),
                     " has no true reward, by which the simulated "
                     "teacher ",
                     options.teacher,
                     " would answer. Let people answer instead "
                     "(--human), or give the task a true_reward in its task.textproto "
                     "(docs/tasks.md)"));
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

absl::StatusOr<v1::Run> CreateRun(const TrainOptions& options, const client::BrokerClient& broker) {
  ASSIGN_OR_RETURN(const std::string folder, FindTask(options.task));
  ASSIGN_OR_RETURN(const auto task, sim::CompiledTask::FromFolder(folder));
  ASSIGN_OR_RETURN(const v1::RunSpec spec, ResolveSpec(options, task->task()));
  RETURN_IF_ERROR(client::PutBundle(broker.client(), task->bundle().bytes));
  v1::PutSceneRequest scene;
  ASSIGN_OR_RETURN(*scene.mutable_glb(), sim::SceneGlb(*task));
  ASSIGN_OR_RETURN(const v1::PutSceneResponse stored,
                   broker.Call<v1::BundleService>(&v1::BundleService::Stub::PutScene, scene));
  v1::TaskInfo info = InfoOf(*task);
  info.set_scene_hash(stored.scene_hash());
  return broker.Create(spec, info, options.labels_from);
}

absl::StatusOr<v1::Run> Follow(const client::BrokerClient& broker, int64_t run_id,
                               LocalStack* stack, base::ShutdownSignal* shutdown,
                               LiveStatus* live) {
  const absl::Time start = absl::Now();
  Pace pace;
  int64_t revision = -1;
  while (!shutdown->Requested()) {
    // a second: for the clock on the block
    absl::StatusOr<v1::Run> run =
        broker.Watch(run_id, revision, absl::Seconds(revision < 0 ? 0 : 1));
    if (stack != nullptr) {
      for (const std::string& event : stack->TakeEvents()) live->Say(event);
      RETURN_IF_ERROR(stack->Failure());
    }
    RETURN_IF_ERROR(run.status());
    // also while nothing moves: what waits for people has no speed
    pace.Add(absl::Now(), run->steps());
    revision = run->revision();
    live->Show(*run, pace, absl::Now() - start);
    if (Ended(run->state())) {
      live->Finish();
      return run;
    }
  }
  live->Finish();
  return absl::CancelledError("interrupted");
}

absl::Status Train(const TrainOptions& options, base::ShutdownSignal* shutdown) {
  const absl::Time start = absl::Now();
  const auto stop = [shutdown] { return shutdown->Requested(); };
  LiveStatus live(stdout);

  // what can be refused is refused before anything is started
  RETURN_IF_ERROR(CheckPages(options));
  if (!options.continue_run.has_value()) {
    ASSIGN_OR_RETURN(const std::string folder, FindTask(options.task));
    ASSIGN_OR_RETURN(const auto task, sim::CompiledTask::FromFolder(folder));
    ASSIGN_OR_RETURN(const v1::RunSpec spec, ResolveSpec(options, task->task()));
    const v1::TaskInfo info = InfoOf(*task);
    RETURN_IF_ERROR(options::CheckFitsTask(spec, info));
    RETURN_IF_ERROR(CheckLabelers(options, spec, info));
  }

  std::unique_ptr<LocalStack> stack;
  std::string token;
  if (options.broker.empty()) {
    live.Say("starting the database and the broker");
    LocalStack::Options local = {
        .data = options.data, .database = options.database, .pages = std::nullopt};
    if (options.human) local.pages = options.pages;
    ASSIGN_OR_RETURN(stack, LocalStack::Start(local, stop));
  } else {
    ASSIGN_OR_RETURN(token, rpc::ReadTokenFile(options.token_file));
  }
  const rpc::Client client =
      stack != nullptr ? stack->broker() : rpc::Client(options.broker, token);
  const client::BrokerClient broker(client, stop);
  if (stack != nullptr && stack->private_database() && !options.continue_run.has_value()) {
    RETURN_IF_ERROR(PauseLeftRuns(broker, &live));
  }
  absl::StatusOr<v1::Run> run =
      options.continue_run.has_value() ? ContinueRun(options, broker) : CreateRun(options, broker);
  RETURN_IF_ERROR(run.status());
  const int64_t id = run->id();
  live.Say(absl::StrFormat(
      "run %d: %s, %s, %d steps, seed %d; logs in %s", id, run->task().name(),
      run->spec().reward() == v1::TRUE
          ? "on its true reward"
          : absl::StrCat(run->spec().labels(), " labels from ",
                         options.teacher == kNoTeacher
                             ? "people"
                             : absl::StrCat(options.human ? "people and " : "", options.teacher)),
      run->spec().steps(), run->spec().seed(),
      stack != nullptr ? options.data + "/logs" : options.broker));

  const absl::Time training = absl::Now();
  const int64_t steps_before = run->steps();
  if (stack != nullptr) {
    const int cores = std::max(1u, std::thread::hardware_concurrency());
    RETURN_IF_ERROR(stack->Serve({.run_id = id,
                                  .threads = options.workers > 0 ? options.workers : cores,
                                  .preferences = run->spec().reward() != v1::TRUE,
                                  .teachers = TeachersOf(options.teacher),
                                  .seed = run->spec().seed()}));
  }
  if (options.human) {
    std::string url;
    if (stack != nullptr) {
      url = stack->pages_url();
    } else {
      ASSIGN_OR_RETURN(url, CheckPublicUrl(options.pages.public_url));
    }
    RETURN_IF_ERROR(ShowLinks(broker, url, id, &live));
  }
  run = Follow(broker, id, stack.get(), shutdown, &live);
  const absl::Time end = absl::Now();
  if (!run.ok()) {
    if (stack == nullptr) {
      live.Say(absl::StrCat("run ", id, " goes on at ", options.broker, "; `backflip watch ", id,
                            "` follows it, `backflip "
                            "cancel ",
                            id, "` ends it"));
      return run.status();
    }
    live.Say("ending everything");
    // their last checkpoints first
    stack->StopServing();
    if (client::BrokerClient(client, nullptr).Cancel(id, true).ok()) {
      live.Say(absl::StrCat("run ", id,
                            " is paused; `./backflip train "
                            "--continue ",
                            id, "` goes on with it"));
    }
    stack->Stop();
    return run.status();
  }
  if (stack != nullptr) stack->StopServing();
  if (run->state() == v1::FAILED) {
    return absl::InternalError(absl::StrCat("run ", id, " failed: ", run->message()));
  }
  if (run->state() != v1::FINISHED) {
    return absl::CancelledError(absl::StrCat("run ", id,
                                             " was ended from "
                                             "elsewhere: it is ",
                                             StateName(run->state())));
  }
  const double seconds = absl::ToDoubleSeconds(end - training);
  return WriteResults(options, broker, *run, absl::ToDoubleSeconds(end - start),
                      (run->steps() - steps_before) / std::max(seconds, 1e-3));
}

}  // namespace backflip::cli
