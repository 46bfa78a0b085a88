// backflip gold add, list, remove: pairs of clips whose answer is known.
#include <cstdint>
#include <string>

#include "absl/strings/ascii.h"
#include "absl/strings/str_format.h"
#include "backflip/v1/review.grpc.pb.h"
#include "cli/command.h"
#include "cli/session.h"
#include "cli/values.h"
#include "common/base/status_macros.h"

namespace backflip::cli {
namespace {

using v1::ReviewService;

struct GoldFlags {
  v1::Choice answer = v1::CHOICE_UNSPECIFIED;
  v1::GoldUse use = v1::CHECK;
  std::string why;
};
GoldFlags& flags = *new GoldFlags;

absl::Status AddGold(const Call& call) {
  v1::AddGoldRequest request;
  ASSIGN_OR_RETURN(const int64_t run_id, ParseRun(call.Word(0)));
  request.set_run_id(run_id);
  request.add_clip_ids(call.Word(1));
  request.add_clip_ids(call.Word(2));
  request.set_answer(flags.answer);
  request.set_use(flags.use);
  request.set_explanation(flags.why);
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(const v1::GoldPair pair,
                   session.broker->Call<ReviewService>(&ReviewService::Stub::AddGold, request));
  absl::PrintF("%d\n", pair.gold_id());
  return absl::OkStatus();
}

absl::Status ListGold(const Call& call) {
  v1::ListGoldRequest request;
  ASSIGN_OR_RETURN(const int64_t run_id, ParseRun(call.Word(0)));
  request.set_run_id(run_id);
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  ASSIGN_OR_RETURN(
      const v1::ListGoldResponse response,
      session.broker->CallPages<ReviewService>(&ReviewService::Stub::ListGold, request));
  absl::PrintF("%6s %-8s %-6s %6s %6s  %-12s %-12s %s\n", "gold", "use", "answer", "asked", "right",
               "first clip", "second clip", "why");
  for (const v1::GoldPair& pair : response.pairs()) {
    absl::PrintF("%6d %-8s %-6s %6d %6d  %-12s %-12s %s\n", pair.gold_id(),
                 absl::AsciiStrToLower(v1::GoldUse_Name(pair.use())),
                 absl::AsciiStrToLower(v1::Choice_Name(pair.answer())), pair.asked(),
                 pair.answered_right(), pair.clip_ids(0).substr(0, 12),
                 pair.clip_ids(1).substr(0, 12), pair.explanation());
  }
  return absl::OkStatus();
}

absl::Status RemoveGold(const Call& call) {
  v1::RemoveGoldRequest request;
  ASSIGN_OR_RETURN(const int64_t gold_id,
                   ParseId(call.Word(0), "gold pair; `backflip gold list RUN` lists them"));
  request.set_gold_id(gold_id);
  ASSIGN_OR_RETURN(const Session session, OpenSession(call));
  return session.broker->Call<ReviewService>(&ReviewService::Stub::RemoveGold, request).status();
}

const Registered kRegistered{
    {Section::kLabels,
     "gold add RUN CLIP CLIP",
     "a pair whose answer is known, asked as a check",
     AddGold,
     {Flag("answer SIDE", &flags.answer,
           {{"left", v1::LEFT}, {"right", v1::RIGHT}, {"tie", v1::TIE}},
           "left (the first clip is better), right or tie")
          .Required(),
      {"use USE",
       &flags.use,
       {{"check", v1::CHECK}, {"qualify", v1::QUALIFY}, {"show", v1::SHOW}},
       "check (asked among the others), qualify (asked of new labelers, with feedback) or show (in "
       "the guide)"},
      {"why TEXT", &flags.why, "explanation, where the answer is shown"}},
     "Prints the pair's number."},
    {Section::kLabels, "gold list RUN", "the known pairs of a run, and how they were answered",
     ListGold},
    {Section::kLabels, "gold remove GOLD", "ask a known pair no more", RemoveGold},
};

}  // namespace
}  // namespace backflip::cli
