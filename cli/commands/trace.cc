// backflip trace label.
#include <cstdint>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/numbers.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/time/time.h"
#include "backflip/v1/trace.grpc.pb.h"
#include "cli/command.h"
#include "cli/output/label_files.h"
#include "cli/session.h"
#include "common/base/status_macros.h"

namespace backflip::cli {
namespace {

std::string At(int64_t ms) {
  return absl::FormatTime("%Y-%m-%d %H:%M:%E3S", absl::FromUnixMillis(ms), absl::LocalTimeZone());
}

void Print(int64_t ms, const std::string& what, const std::string& said) {
  absl::PrintF("%s  %-9s %s\n", At(ms), what, said);
}

std::string SelectedBy(const v1::TracedQuestion& question) {
  if (question.selector().empty()) return "";
  std::string text = absl::StrFormat(", chosen by %s", absl::AsciiStrToLower(question.selector()));
  if (question.round() >= 0)
    absl::StrAppend(&text, absl::StrFormat(", score %.3g", question.score()));
  if (question.ensemble_version() > 0)
    absl::StrAppend(&text, " of reward ", question.ensemble_version());
  return text;
}

std::string Said(const v1::TracedEntry& entry) {
  const std::string label = absl::StrCat("label ", entry.label_id(), ": ");
  const std::string place =
      entry.position() > 0 ? absl::StrCat(", entry ", entry.position(), " of the feed") : "";
  if (entry.has_answer()) return absl::StrCat(label, AnswerText(entry.answer()), place);
  const std::string by = entry.retracted_by().empty() ? "" : " by " + entry.retracted_by();
  return absl::StrCat(label, "taken back", by, place);
}

void PrintLearned(const v1::LabelTrace& trace) {
  if (!trace.has_reward()) {
    absl::PrintF("no ensemble was fitted to it\n");
    return;
  }
  Print(trace.reward().reported_ms(), "reward",
        absl::StrCat("version ", trace.reward().version(), " (iteration ",
                     trace.reward().iteration(), ") is the first that was fitted to it"));
  if (!trace.has_policy()) {
    absl::PrintF("no policy has learned from that\n");
    return;
  }
  Print(trace.policy().reported_ms(), "policy",
        absl::StrCat("version ", trace.policy().version(), " (iteration ",
                     trace.policy().iteration(), ") is the first that learned from that"));
}

absl::Status TraceLabel(const Call& call) {
  v1::TraceLabelRequest request;
  int64_t label_id = 0;
  if (!absl::SimpleAtoi(call.Word(0), &label_id) || label_id < 1) {
    return absl::InvalidArgumentError(absl::StrCat(
        "'", call.Word(0), "' is no label's number; `backflip labels export RUN` has them"));
  }
  request.set_label_id(label_id);
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(const v1::LabelTrace trace, session.broker->Call<v1::TraceService>(
                                                   &v1::TraceService::Stub::TraceLabel, request));
  absl::PrintF("label %d of run %d; in the logs: \"trace\":\"%s\"\n", label_id, trace.run_id(),
               trace.trace());
  for (const v1::TracedClip& clip : trace.clips()) {
    Print(clip.stored_ms(), "clip",
          absl::StrCat(clip.clip_id().substr(0, 12), " of batch ", clip.iteration(), ", ticket ",
                       clip.ticket(),
                       clip.worker().empty() ? "" : absl::StrCat(", by ", clip.worker())));
  }
  const v1::TracedQuestion& question = trace.question();
  Print(
      question.opened_ms(), "question",
      absl::StrCat(question.id(), " (", absl::AsciiStrToLower(v1::Purpose_Name(question.purpose())),
                   question.round() < 0 ? "" : absl::StrCat(", round ", question.round()), ")",
                   SelectedBy(question)));
  for (const v1::TracedLease& lease : trace.leases()) {
    Print(lease.leased_ms(), "lease",
          absl::StrCat("to ", lease.labeler(), ", ", absl::AsciiStrToLower(lease.state()),
                       lease.of_label() ? ", this label's" : ""));
  }
  for (const v1::TracedEntry& entry : trace.entries())
    Print(entry.answered_ms(), "answer", Said(entry));
  PrintLearned(trace);
  return absl::OkStatus();
}

const Registered kRegistered{
    {Section::kLabels,
     "trace label LABEL",
     "the life of an answer: its clips, its question, and what learned from it",
     TraceLabel,
     {},
     "LABEL is a label's number, as `labels export` and the dashboard show it. The lines of the "
     "services' logs about its question have the same \"trace\"."},
};

}  // namespace
}  // namespace backflip::cli
