// backflip labels export, import, retract.
#include <cstdint>
#include <string>

#include "absl/strings/str_format.h"
#include "backflip/v1/people.grpc.pb.h"
#include "cli/command.h"
#include "cli/output/label_files.h"
#include "cli/session.h"
#include "cli/values.h"
#include "common/base/random.h"
#include "common/base/status_macros.h"

namespace backflip::cli {
namespace {

struct LabelsFlags {
  LabelFormat format = LabelFormat::kJsonLines;
  bool clips = false;
  std::string out, run, labeler, since;
};
LabelsFlags& flags = *new LabelsFlags;

absl::Status Export(const Call& call) {
  ASSIGN_OR_RETURN(const int64_t run_id, ParseRun(call.Word(0)));
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  return ExportLabels(*session.broker, run_id, flags.format, flags.clips, flags.out);
}

absl::Status Import(const Call& call) {
  ASSIGN_OR_RETURN(const int64_t run_id, ParseRun(flags.run));
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(const v1::ImportLabelsResponse done,
                   ImportLabels(*session.broker, run_id, call.Word(0)));
  absl::PrintF("%d labels and %d clips are new, %d labels were there before\n", done.labels(),
               done.clips(), done.known());
  return absl::OkStatus();
}

absl::Status Retract(const Call& call) {
  v1::RetractLabelsRequest request;
  request.set_request_id(base::RandomHex128());
  request.set_name(flags.labeler);
  RETURN_IF_ERROR(SetRunAndSince(flags.run, flags.since, &request));
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(
      const v1::RetractLabelsResponse done,
      session.broker->Call<v1::PeopleService>(&v1::PeopleService::Stub::RetractLabels, request));
  absl::PrintF("%d answers of %s are taken back; %d questions are open again\n", done.labels(),
               flags.labeler, done.reopened_questions());
  return absl::OkStatus();
}

const Registered kRegistered{
    {Section::kLabels,
     "labels export RUN",
     "the labels of a run, by default as JSON Lines",
     Export,
     {{"format NAME",
       &flags.format,
       {{"jsonl", LabelFormat::kJsonLines},
        {"csv", LabelFormat::kCsv},
        {"npz", LabelFormat::kNpz},
        {"trajectories", LabelFormat::kTrajectories}},
       "jsonl, csv, npz (B-Pref's buffers) or trajectories (for imitation)"},
      {"clips", &flags.clips, "with the clips, so that the file can be imported (jsonl)"},
      {"out FILE", &flags.out, "file to write. Default: standard output, except for arrays"}},
     "Only labels that nobody replaced or took back. docs/protocol.md has the formats."},
    {Section::kLabels,
     "labels import FILE",
     "take the labels and clips of a file into a run",
     Import,
     {Flag("run RUN", &flags.run, "where the labels go").Required()},
     "FILE is what `labels export --clips` wrote. All of it is taken or nothing, and no label "
     "twice."},
    {Section::kLabels,
     "labels retract",
     "take somebody's answers back",
     Retract,
     {Flag("labeler NAME", &flags.labeler, "whose answers").Required(),
      {"since TIME", &flags.since, "from when, such as 2h or 2026-12-01. Default: all"},
      {"run RUN", &flags.run, "of this run alone. Default: of all runs"}},
     "Their questions are open again, and the ensemble is fitted afresh to the labels that are "
     "left."},
};

}  // namespace
}  // namespace backflip::cli
