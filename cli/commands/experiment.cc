#include "cli/commands/experiment.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <limits>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/time/clock.h"
#include "cli/command.h"
#include "cli/commands/train.h"
#include "cli/launcher/paths.h"
#include "cli/output/chart.h"
#include "cli/output/experiment_report.h"
#include "cli/output/replay.h"
#include "cli/output/status_block.h"
#include "cli/session.h"
#include "common/base/hash.h"
#include "common/base/status_macros.h"
#include "common/options/run_spec.h"
#include "common/sim/task.h"

namespace backflip::cli {
namespace {

namespace fs = std::filesystem;

std::string TextOf(const Cell& cell) {
  return absl::StrCat(cell.task_name, ", ", cell.arm.name(), ", seed ", cell.spec.seed());
}

absl::Status CheckArms(const v1::Experiment& experiment) {
  std::set<std::string> names;
  for (const v1::Arm& arm : experiment.arm()) {
    const std::string& name = arm.name();
    const bool good =
        !name.empty() && name.size() <= 40 && std::all_of(name.begin(), name.end(), [](char c) {
          return absl::ascii_isalnum(c) || c == '_' || c == '-' || c == '.';
        });
    if (!good) {
      return absl::InvalidArgumentError(absl::StrCat(
          "an arm is called '", name, "'; a name is 1 to 40 letters, digits, '_', '-' and '.'"));
    }
    if (!names.insert(name).second) {
      return absl::InvalidArgumentError(absl::StrCat("two arms are called '", name, "'"));
    }
    if (arm.labels_per_minute() < 0 || arm.labels_per_minute() > 10000) {
      return absl::InvalidArgumentError(absl::StrCat("labels_per_minute of the arm '", name,
                                                     "' is ", arm.labels_per_minute(),
                                                     "; allowed: 0 (no bound) to 10000"));
    }
    if (arm.spec().has_seed()) {
      return absl::InvalidArgumentError(absl::StrCat(
          "the arm '", name, "' sets a seed; seeds are the experiment's: `seed: [201, 202]`"));
    }
  }
  if (!experiment.baseline().empty() && names.count(experiment.baseline()) == 0) {
    return absl::InvalidArgumentError(absl::StrCat("baseline is '", experiment.baseline(),
                                                   "'; the arms are ", absl::StrJoin(names, ", ")));
  }
  return absl::OkStatus();
}

absl::Status CheckGrid(const v1::Experiment& experiment) {
  if (experiment.task().empty() || experiment.seed().empty() || experiment.arm().empty()) {
    return absl::InvalidArgumentError(
        "an experiment takes at least one `task`, one `seed` and one `arm { name: ... }`");
  }
  if (experiment.spec().has_seed()) {
    return absl::InvalidArgumentError("spec sets a seed; seeds are `seed: [201, 202]`");
  }
  for (const auto& repeated :
       {std::set<std::string>(experiment.task().begin(), experiment.task().end()).size() !=
            static_cast<size_t>(experiment.task_size()),
        std::set<uint64_t>(experiment.seed().begin(), experiment.seed().end()).size() !=
            static_cast<size_t>(experiment.seed_size())}) {
    if (repeated) return absl::InvalidArgumentError("a task or a seed is named twice");
  }
  return CheckArms(experiment);
}

absl::Status CheckMeasure(const std::string& measure, const sim::Task& task) {
  const v1::TaskInfo info = InfoOf(task);
  std::vector<std::string> known(info.metrics().begin(), info.metrics().end());
  if (info.has_true_reward()) known.push_back("true_return");
  if (std::find(known.begin(), known.end(), measure) != known.end()) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat("measure is '", measure, "'; the task ",
                                                 info.name(), " has ", absl::StrJoin(known, ", ")));
}

absl::Status CheckCell(const Cell& cell) {
  ASSIGN_OR_RETURN(const v1::RunSpec spec,
                   options::ResolveRunSpec(cell.task->task().defaults(), cell.people, cell.spec));
  const v1::TaskInfo info = InfoOf(*cell.task);
  RETURN_IF_ERROR(options::CheckFitsTask(spec, info));
  if (spec.reward() == v1::TRUE) return absl::OkStatus();
  TrainOptions teachers;
  teachers.teacher = absl::StrJoin(cell.arm.teacher(), ",");
  return CheckLabelers(teachers, spec, info);
}

}  // namespace

absl::StatusOr<Plan> ReadPlan(const std::string& path) {
  Plan plan;
  plan.name = fs::path(path).stem().string();
  RETURN_IF_ERROR(options::ReadTextFile(path, &plan.experiment));
  v1::Experiment& experiment = plan.experiment;
  RETURN_IF_ERROR(CheckGrid(experiment));
  for (v1::Arm& arm : *experiment.mutable_arm()) {
    if (arm.teacher().empty()) arm.add_teacher("oracle");
  }
  std::vector<std::shared_ptr<const sim::Task>> tasks;
  for (const std::string& name : experiment.task()) {
    const fs::path beside = fs::absolute(path).parent_path() / name;
    ASSIGN_OR_RETURN(const std::string folder,
                     FindTask(fs::exists(beside) ? beside.string() : name));
    ASSIGN_OR_RETURN(tasks.emplace_back(), sim::Task::FromFolder(folder));
    RETURN_IF_ERROR(CheckMeasure(experiment.measure(), *tasks.back()));
  }
  for (const uint64_t seed : experiment.seed()) {
    for (int i = 0; i < experiment.task_size(); ++i) {
      for (const v1::Arm& arm : experiment.arm()) {
        Cell cell{.task_name = experiment.task(i),
                  .task = tasks[i],
                  .arm = arm,
                  .spec = options::Overlay(experiment.spec(), arm.spec()),
                  .people = arm.labels_per_minute() > 0};
        cell.spec.set_seed(seed);
        RETURN_IF_ERROR(CheckCell(cell));
        plan.cells.push_back(std::move(cell));
      }
    }
  }
  return plan;
}

namespace {

// The run of a cell: the one that was begun under this name, or a new one. FAILED_PRECONDITION: the
// one that was begun has other options or another task.
absl::StatusOr<v1::Run> RunOf(const Plan& plan, const Cell& cell,
                              const client::BrokerClient& broker) {
  ASSIGN_OR_RETURN(const v1::TaskInfo info, PutTask(broker, *cell.task));
  const std::string id = base::Sha256Hex(
      absl::StrCat(plan.name, "\n", cell.task_name, "\n", cell.arm.name(), "\n", cell.spec.seed()));
  absl::StatusOr<v1::Run> run = broker.Create(cell.spec, info, cell.people, 0, id);
  if (!absl::IsAlreadyExists(run.status())) return run;
  return absl::FailedPreconditionError(absl::StrCat(
      "the experiment ", plan.name, " was begun with other options, or another task, for ",
      TextOf(cell), ". Give the changed one another name (copy its file), or another --data"));
}

absl::StatusOr<ExperimentRun> Found(const Cell& cell, const v1::Experiment& experiment,
                                    const v1::Run& run, const client::BrokerClient& broker) {
  ASSIGN_OR_RETURN(const auto evaluations, broker.Evaluations(run.id()));
  ASSIGN_OR_RETURN(std::vector<v1::MetricPoint> points, broker.Metrics(run.id()));
  const double seconds = std::max<double>(run.finished_ms() - run.started_ms(), 1) / 1e3;
  ExperimentRun found{.task = cell.task_name,
                      .arm = cell.arm.name(),
                      .run = run,
                      .results = Summarise(run, evaluations, seconds, run.steps() / seconds)};
  for (v1::MetricPoint& point : points) {
    if (point.name() == experiment.measure() && std::isfinite(point.value())) {
      found.curve.push_back(std::move(point));
    }
  }
  if (run.state() != v1::FINISHED) found.results.episodes = 0;
  return found;
}

// Table, chart and runs, in DATA/experiments/NAME.
absl::Status Write(const Plan& plan, const std::vector<ExperimentRun>& runs,
                   const std::string& data, bool print) {
  const std::string folder = absl::StrCat(data, "/experiments/", plan.name);
  std::error_code error;
  fs::create_directories(folder, error);
  const std::string table = ExperimentTable(plan.experiment, runs);
  RETURN_IF_ERROR(WriteFile(folder + "/table.md", table));
  RETURN_IF_ERROR(WriteFile(folder + "/runs.json", ExperimentJson(runs)));
  if (!print) return absl::OkStatus();
  const std::string chart = folder + "/curves.svg";
  const absl::Status drawn = DrawExperiment(plan.name, plan.experiment, runs, chart);
  absl::PrintF("\n%s\n%s: table.md, runs.json, curves.svg%s\n", table, folder,
               drawn.ok() ? "" : absl::StrCat(" (missing: ", drawn.message(), ")"));
  return absl::OkStatus();
}

// What is left, from the time that runs took so far.
std::string Left(absl::Duration spent, int ran, size_t left) {
  if (ran == 0) return "";
  return absl::StrCat(", about ", Clock(spent / ran * static_cast<double>(left)), " left");
}

class Grid {
 public:
  Grid(const Plan& plan, Session session, const Call& call, int threads)
      : plan_(plan), session_(std::move(session)), call_(call), threads_(threads), live_(stdout) {}

  absl::Status RunAll() {
    // elsewhere they all wait for whoever serves them
    if (session_.stack == nullptr) {
      for (const Cell& cell : plan_.cells) {
        RETURN_IF_ERROR(RunOf(plan_, cell, *session_.broker).status());
      }
    }
    int failed = 0;
    for (size_t i = 0; i < plan_.cells.size(); ++i) {
      const Cell& cell = plan_.cells[i];
      ASSIGN_OR_RETURN(const v1::Run run, Ended(cell, i));
      failed += run.state() == v1::FINISHED ? 0 : 1;
      ASSIGN_OR_RETURN(runs_.emplace_back(), Found(cell, plan_.experiment, run, *session_.broker));
      RETURN_IF_ERROR(Write(plan_, runs_, DataFolder(call_.stack), i + 1 == plan_.cells.size()));
    }
    if (failed == 0) return absl::OkStatus();
    return absl::AbortedError(absl::StrCat(
        failed, " of ", plan_.cells.size(),
        " runs did not finish (the table names them). The same command tries them again"));
  }

 private:
  absl::StatusOr<v1::Run> Ended(const Cell& cell, size_t number) {
    ASSIGN_OR_RETURN(v1::Run run, RunOf(plan_, cell, *session_.broker));
    if (run.state() == v1::FINISHED) return run;
    if (cli::Ended(run.state())) {
      ASSIGN_OR_RETURN(run, session_.broker->Continue(run.id(), 0, 0));
    }
    live_.Say(absl::StrCat("run ", number + 1, " of ", plan_.cells.size(), ": ", TextOf(cell),
                           Left(spent_, ran_, plan_.cells.size() - number)));
    const absl::Time start = absl::Now();
    if (session_.stack != nullptr) RETURN_IF_ERROR(Serve(cell, run));
    absl::StatusOr<v1::Run> ended = Follow(session_, run.id(), call_.shutdown, &live_);
    spent_ += absl::Now() - start;
    ++ran_;
    if (session_.stack == nullptr) return ended;
    // their last checkpoints first
    session_.stack->StopServing();
    if (absl::IsCancelled(ended.status())) {
      const client::BrokerClient broker(session_.broker->client(), nullptr);
      RETURN_IF_ERROR(broker.Cancel(run.id(), /*pause=*/true).status());
      live_.Say("paused; the same command goes on");
    }
    return ended;
  }

  absl::Status Serve(const Cell& cell, const v1::Run& run) {
    return session_.stack->Serve(
        {.run_id = run.id(),
         .threads = threads_,
         .preferences = run.spec().reward() != v1::TRUE,
         .teachers = {cell.arm.teacher().begin(), cell.arm.teacher().end()},
         .labels_per_minute = cell.arm.labels_per_minute(),
         .seed = run.spec().seed()});
  }

  const Plan& plan_;
  Session session_;
  const Call& call_;
  const int threads_;
  LiveStatus live_;
  std::vector<ExperimentRun> runs_;
  // Of the runs that this command has followed.
  absl::Duration spent_;
  int ran_ = 0;
};

int& workers = *new int(0);

absl::Status RunExperiment(const Call& call) {
  if (workers < 0 || workers > 1024) {
    return absl::InvalidArgumentError(
        absl::StrCat("--workers is ", workers, "; allowed: 0 (all cores) to 1024"));
  }
  ASSIGN_OR_RETURN(const Plan plan, ReadPlan(call.Word(0)));
  const bool elsewhere = !call.stack.broker.empty();
  ASSIGN_OR_RETURN(Session session, elsewhere
                                        ? ConnectToBroker(call.stack, call.shutdown)
                                        : StartStack(call.stack, std::nullopt, call.shutdown));
  const int cores = static_cast<int>(std::max(1u, std::thread::hardware_concurrency()));
  return Grid(plan, std::move(session), call, workers > 0 ? workers : cores).RunAll();
}

const Registered kRegistered{
    {Section::kRuns,
     "experiment FILE",
     "train a grid of tasks, arms and seeds, and tabulate it",
     RunExperiment,
     {{"workers N", &workers, "threads that simulate. Default: as many as there are cores"}},
     "FILE is an Experiment in protobuf's text format (proto/backflip/v1/experiment.proto; "
     "experiments/ has some). Ctrl-C pauses it; the same command goes on. Table, chart and all "
     "runs are in experiments/ of the data folder. With --broker the runs are queued there, and "
     "answered by the teachers there."},
};

}  // namespace
}  // namespace backflip::cli
