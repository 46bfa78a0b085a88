// backflip runs, watch, cancel, run fork, run stop-asking, run config, run export-tensorboard.
// (`run FILE` is in train.cc.)
#include <google/protobuf/text_format.h>

#include <cstdio>
#include <string>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "backflip/v1/config.grpc.pb.h"
#include "cli/command.h"
#include "cli/output/moment.h"
#include "cli/output/status_block.h"
#include "cli/output/tensorboard.h"
#include "cli/session.h"
#include "cli/values.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"

namespace backflip::cli {
namespace {

using v1::RunService;

absl::Status ListRuns(const Call& call) {
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(const std::vector<v1::Run> runs, session.broker->List(1000));
  absl::PrintF("%5s  %-20s %-10s %-22s %-15s %s\n", "run", "task", "state", "steps", "labels",
               "limited by");
  for (const v1::Run& run : runs) {
    absl::PrintF(
        "%5d  %-20s %-10s %-22s %-15s %s\n", run.id(), run.task().name(), StateName(run.state()),
        absl::StrFormat("%s of %s (%.0f %%)", Short(run.steps()), Short(run.spec().steps()),
                        100.0 * run.steps() / run.spec().steps()),
        run.spec().reward() == v1::TRUE ? "true reward"
                                        : absl::StrCat(run.labels(), " of ", run.spec().labels()),
        run.state() == v1::FAILED ? run.message() : LimitText(run.limit()));
  }
  return absl::OkStatus();
}

absl::Status WatchRun(const Call& call) {
  // a word that is no run is refused before a broker is started
  if (!call.words.empty()) RETURN_IF_ERROR(ParseRun(call.Word(0)).status());
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(const int64_t run_id, RunOrNewest(*session.broker, call.Word(0)));
  if (session.stack != nullptr) {
    // nobody serves it, so there is nothing to wait for
    ASSIGN_OR_RETURN(const v1::Run run, session.broker->Get(run_id));
    absl::PrintF("%s\n", StatusLine(run, Pace(), absl::ZeroDuration()));
    return absl::OkStatus();
  }
  LiveStatus live(stdout);
  const absl::Status ended = Follow(session, run_id, call.shutdown, &live).status();
  // Ctrl-C ends the watching, as it should
  return absl::IsCancelled(ended) ? absl::OkStatus() : ended;
}

absl::Status CancelRun(const Call& call) {
  ASSIGN_OR_RETURN(const int64_t run, ParseRun(call.Word(0)));
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  return session.broker->Cancel(run, /*pause=*/false).status();
}

absl::Status Fork(const Call& call) {
  ASSIGN_OR_RETURN(const Snapshot snapshot, ParseSnapshot(call.Word(0)));
  if (snapshot.version == 0) {
    return absl::InvalidArgumentError(
        "say which policy the fork begins with: RUN@VERSION, such as 1@12");
  }
  v1::ForkRunRequest request;
  request.set_request_id(base::RandomHex128());
  request.set_run_id(snapshot.run_id);
  request.set_version(snapshot.version);
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(const v1::Run run,
                   session.broker->Call<RunService>(&RunService::Stub::Fork, request));
  absl::PrintF("%d\n", run.id());
  std::fflush(stdout);
  absl::FPrintF(stderr,
                "run %d begins as %s and waits for whoever serves it: "
                "`backflip train --continue %d` does\n",
                run.id(), call.Word(0), run.id());
  return absl::OkStatus();
}

absl::Status StopAsking(const Call& call) {
  v1::StopAskingRequest request;
  ASSIGN_OR_RETURN(const int64_t run_id, ParseRun(call.Word(0)));
  request.set_run_id(run_id);
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  return session.broker->Call<RunService>(&RunService::Stub::StopAsking, request).status();
}

absl::Status ShowConfig(const Call& call) {
  v1::ListConfigsRequest request;
  ASSIGN_OR_RETURN(const int64_t run_id, ParseRun(call.Word(0)));
  request.set_run_id(run_id);
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(
      const v1::ListConfigsResponse response,
      session.broker->Call<v1::ConfigService>(&v1::ConfigService::Stub::ListConfigs, request));
  ASSIGN_OR_RETURN(const v1::Run run, session.broker->Get(run_id));
  std::string options;
  google::protobuf::TextFormat::PrintToString(run.spec(), &options);
  absl::PrintF("# options, after all layers\n%s\n", options);
  for (const v1::ProgramConfig& config : response.configs()) {
    absl::PrintF("# %s%s, %s\n%s\n", config.role(),
                 config.name().empty() ? "" : absl::StrCat(" ", config.name()),
                 MomentText(config.reported_ms()), config.config());
  }
  return absl::OkStatus();
}

absl::Status ExportTensorBoard(const Call& call) {
  ASSIGN_OR_RETURN(const int64_t run_id, ParseRun(call.Word(0)));
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(const std::vector<v1::MetricPoint> points, session.broker->Metrics(run_id));
  ASSIGN_OR_RETURN(const std::string path, WriteEvents(points, call.Word(1)));
  absl::PrintF("%s: %d points\n", path, points.size());
  return absl::OkStatus();
}

const Registered kRegistered{
    {Section::kRuns, "runs", "list runs, their progress, and what limits each", ListRuns},
    {Section::kRuns, "watch [RUN]", "follow a run, by default the newest", WatchRun},
    {Section::kRuns, "cancel RUN", "end a run; `train --continue RUN` goes on with it", CancelRun},
    {Section::kRuns,
     "run fork RUN@VERSION",
     "a new run from an earlier policy, with all standing labels",
     Fork,
     {},
     "Prints the new run's number. The run waits until `train --continue` serves it."},
    {Section::kRuns, "run stop-asking RUN",
     "ask people no more; the run finishes on the labels there are", StopAsking},
    {Section::kRuns,
     "run config RUN",
     "a run's options, and the flags that its programs were started with",
     ShowConfig,
     {},
     "First the run's own options, then what --print_config printed of the broker, the learner, "
     "the trainer and each worker when they took it up."},
    {Section::kRuns,
     "run export-tensorboard RUN FOLDER",
     "the run's charts as TensorBoard reads them",
     ExportTensorBoard,
     {},
     "`tensorboard --logdir FOLDER` shows them; a folder for each run in one FOLDER compares runs. "
     "The "
     "same command again brings the file up to date."},
};

}  // namespace
}  // namespace backflip::cli
