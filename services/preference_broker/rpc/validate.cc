#include "services/preference_broker/rpc/validate.h"

#include <algorithm>
#include <cmath>
#include <set>

#include "absl/strings/ascii.h"
#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_join.h"
#include "absl/strings/strip.h"
#include "common/base/hash.h"
#include "common/base/status_macros.h"
#include "common/experience/limits.h"
#include "common/rpc/limits.h"

namespace backflip::preference_broker {
namespace {

using rpc::kMaxIteration;
using rpc::kMaxSteps;

// Index of the first number that is not finite; -1: none.
template <typename Numbers>
int FirstNotFinite(const Numbers& numbers) {
  for (int i = 0; i < numbers.size(); ++i) {
    if (!std::isfinite(numbers[i])) return i;
  }
  return -1;
}

template <typename Numbers>
absl::Status CheckNumbers(absl::string_view name, absl::string_view field, const Numbers& numbers,
                          int64_t expected, absl::string_view shape) {
  if (numbers.size() != expected) {
    return absl::InvalidArgumentError(absl::StrCat(name, ".", field, " has ", numbers.size(),
                                                   " numbers instead of ", expected, " (", shape,
                                                   ")"));
  }
  if (const int bad = FirstNotFinite(numbers); bad >= 0) {
    return absl::InvalidArgumentError(absl::StrCat(name, ".", field, "[", bad, "] is ",
                                                   numbers[bad], ", but must be a finite number"));
  }
  return absl::OkStatus();
}

bool IsPrintable(const std::string& text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

// A quantity's name: a letter or _, then letters, digits and _.
bool IsIdentifier(const std::string& name) {
  return !name.empty() && name.size() <= 64 && !absl::ascii_isdigit(name[0]) &&
         std::all_of(name.begin(), name.end(),
                     [](char c) { return absl::ascii_isalnum(c) || c == '_'; });
}

// Whether `text` is UTF-8 without NUL, and `accept` takes each of its code points.
template <typename Accept>
bool EveryCodePoint(const std::string& text, Accept accept) {
  for (size_t i = 0; i < text.size();) {
    const unsigned char c = text[i];
    int more = 0;
    uint32_t point = c;
    if (c == 0) return false;
    if (c >= 0xF0) {
      more = 3, point = c & 0x07;
    } else if (c >= 0xE0) {
      more = 2, point = c & 0x0F;
    } else if (c >= 0xC0) {
      more = 1, point = c & 0x1F;
    } else if (c >= 0x80) {
      return false;
    }
    if (c >= 0xF8 || i + more >= text.size()) return false;
    for (int k = 1; k <= more; ++k) {
      const unsigned char next = text[i + k];
      if ((next & 0xC0) != 0x80) return false;
      point = point << 6 | (next & 0x3F);
    }
    static constexpr uint32_t kSmallest[] = {0, 0x80, 0x800, 0x10000};
    if (point < kSmallest[more] || point > 0x10FFFF || (point >= 0xD800 && point <= 0xDFFF))
      return false;
    if (!accept(point)) return false;
    i += more + 1;
  }
  return true;
}

bool IsUtf8WithoutNul(const std::string& text) {
  return EveryCodePoint(text, [](uint32_t) { return true; });
}

// Control characters, line and paragraph separators, and marks that change the direction of
// writing, by which text can look like other text.
bool IsControl(uint32_t point) {
  return point < 0x20 || (point >= 0x7F && point < 0xA0) || point == 0x2028 || point == 0x2029 ||
         point == 0x200E || point == 0x200F || point == 0x061C ||
         (point >= 0x202A && point <= 0x202E) || (point >= 0x2066 && point <= 0x2069) ||
         point == 0xFEFF;
}

}  // namespace

absl::Status CheckRange(absl::string_view field, int64_t value, int64_t low, int64_t high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " is ", value, ", but must be from ", low, " to ", high));
}

absl::Status CheckRequestId(absl::string_view field, const std::string& id) {
  if (id.size() >= 16 && id.size() <= 64 && IsPrintable(id)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " must be 16 to 64 printable characters, new for each request"));
}

absl::Status CheckName(absl::string_view field, const std::string& name) {
  if (!name.empty() && name.size() <= 64 && IsPrintable(name)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(field, " must be 1 to 64 printable characters"));
}

absl::Status CheckText(absl::string_view field, const std::string& text, size_t max_bytes) {
  if (text.size() > max_bytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        field, " has ", text.size(), " bytes, but at most ", max_bytes, " are allowed"));
  }
  if (!IsUtf8WithoutNul(text))
    return absl::InvalidArgumentError(absl::StrCat(field, " must be UTF-8 without NUL"));
  return absl::OkStatus();
}

absl::Status CheckPlainText(absl::string_view field, const std::string& text, size_t max_bytes) {
  RETURN_IF_ERROR(CheckText(field, text, max_bytes));
  if (EveryCodePoint(text, [](uint32_t point) {
        return point == '\n' || point == '\t' || !IsControl(point);
      })) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(field, " must be without control characters"));
}

absl::Status CheckPseudonym(absl::string_view field, const std::string& name) {
  int characters = 0;
  const bool plain = EveryCodePoint(name, [&](uint32_t point) {
    ++characters;
    return !IsControl(point);
  });
  if (plain && characters >= 1 && characters <= 64 && name.front() != ' ' && name.back() != ' ') {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      field, " must be 1 to 64 printable characters on one line, without a blank at either end"));
}

absl::Status CheckPerson(int64_t labeler_id, const std::string& name) {
  if ((labeler_id != 0) == !name.empty()) {
    return absl::InvalidArgumentError("say who: by labeler_id or by name, not by both");
  }
  return name.empty() ? absl::OkStatus() : CheckPseudonym("name", name);
}

namespace {

// Where browsers are sent: empty or an https:// address.
absl::Status CheckRedirectUrl(absl::string_view field, const std::string& url) {
  absl::string_view host = url;
  if (url.empty() ||
      (url.size() <= 2000 && IsPrintable(url) && url.find(' ') == std::string::npos &&
       absl::ConsumePrefix(&host, "https://") && !host.empty() &&
       (absl::ascii_isalnum(host[0]) || host[0] == '['))) {
    return absl::OkStatus();
  }
  return absl::InvalidArgumentError(absl::StrCat(
      field, " must be https:// and an address, of at most 2,000 printable characters"));
}

}  // namespace

absl::Status CheckInvite(const v1::InviteRequest& request) {
  RETURN_IF_ERROR(CheckRequestId("request_id", request.request_id()));
  RETURN_IF_ERROR(CheckPseudonym("name", request.name()));
  if (request.role() == v1::INVITE_ROLE_UNSPECIFIED || !v1::InviteRole_IsValid(request.role())) {
    return absl::InvalidArgumentError(
        "role must be INVITE_LABELER, INVITE_REVIEWER, INVITE_OPERATOR or INVITE_TEACHER");
  }
  RETURN_IF_ERROR(CheckRange("the number of run_ids", request.run_ids_size(), 0, 1000));
  if (request.role() == v1::INVITE_OPERATOR && request.run_ids_size() > 0) {
    return absl::InvalidArgumentError(
        "run_ids must be empty for an operator, who has to do with all runs");
  }
  RETURN_IF_ERROR(CheckRange("expires_ms", request.expires_ms(), 0, kMaxMillis));
  RETURN_IF_ERROR(CheckRange("answers_wanted", request.answers_wanted(), 0, 1'000'000));
  RETURN_IF_ERROR(CheckRange("minutes_wanted", request.minutes_wanted(), 0, 100'000));
  if (!request.has_group()) return absl::OkStatus();
  if (request.role() != v1::INVITE_LABELER) {
    return absl::InvalidArgumentError(
        "group is for labelers: reviewers, operators and teachers are invited one by one");
  }
  const v1::GroupInvite& group = request.group();
  RETURN_IF_ERROR(CheckRange("group.cap", group.cap(), 1, kMaxGroupCap));
  RETURN_IF_ERROR(CheckPlainText("group.consent", group.consent(), 20'000));
  RETURN_IF_ERROR(CheckPlainText("group.price", group.price(), 500));
  RETURN_IF_ERROR(CheckRedirectUrl("group.redirect_url", group.redirect_url()));
  return group.completion_code().empty()
             ? absl::OkStatus()
             : CheckName("group.completion_code", group.completion_code());
}

absl::Status CheckGlb(const std::string& glb) {
  constexpr size_t kHead = 12;
  constexpr size_t kMaxBytes = experience::kMaxPayloadBytes;
  if (glb.size() < kHead || glb.size() > kMaxBytes) {
    return absl::InvalidArgumentError(absl::StrCat(
        "glb has ", glb.size(), " bytes, but must have from ", kHead, " to ", kMaxBytes));
  }
  const auto word = [&](size_t at) {
    uint32_t value = 0;
    for (size_t i = 0; i < 4; ++i)
      value |= uint32_t{static_cast<unsigned char>(glb[at + i])} << (8 * i);
    return value;
  };
  if (glb.compare(0, 4, "glTF") != 0 || word(4) != 2 || word(8) != glb.size()) {
    return absl::InvalidArgumentError(
        "glb is no binary glTF 2: its head tells another kind, version or length");
  }
  return absl::OkStatus();
}

absl::Status CheckClipId(absl::string_view field, const std::string& id) {
  if (base::IsSha256Hex(id)) return absl::OkStatus();
  return absl::InvalidArgumentError(
      absl::StrCat(field, " must be 64 lower-case hexadecimal digits"));
}

absl::Status CheckTask(const v1::TaskInfo& task) {
  if (!experience::IsTaskName(task.name())) {
    return absl::InvalidArgumentError(
        "task.name must be 1 to 64 of a-z, 0-9 and _, the first of them a letter");
  }
  RETURN_IF_ERROR(CheckClipId("task.bundle_hash", task.bundle_hash()));
  RETURN_IF_ERROR(CheckText("task.fingerprint", task.fingerprint(), 128));
  RETURN_IF_ERROR(CheckText("task.question", task.question(), experience::kMaxQuestionBytes));
  RETURN_IF_ERROR(
      CheckPlainText("task.instructions", task.instructions(), experience::kMaxInstructionBytes));
  if (!task.scene_hash().empty() && !base::IsSha256Hex(task.scene_hash())) {
    return absl::InvalidArgumentError(
        "task.scene_hash must be 64 lower-case hexadecimal digits, as BundleService.PutScene "
        "answered");
  }
  RETURN_IF_ERROR(CheckRange("task.observation_size", task.observation_size(), 1, 100'000));
  RETURN_IF_ERROR(CheckRange("task.action_size", task.action_size(), 1, 10'000));
  RETURN_IF_ERROR(
      CheckRange("task.episode_steps", task.episode_steps(), 1, experience::kMaxEpisodeSteps));
  RETURN_IF_ERROR(CheckRange("task.evaluation_steps", task.evaluation_steps(), 1,
                             experience::kMaxEpisodeSteps));
  RETURN_IF_ERROR(CheckRange("task.clip_steps", task.clip_steps(), 1, experience::kMaxClipSteps));
  RETURN_IF_ERROR(
      CheckRange("task.rubric_criteria", task.rubric_criteria(), 0, experience::kMaxCriteria));
  for (const std::string& metric : task.metrics()) {
    if (!IsIdentifier(metric) || metric == "true_return") {
      return absl::InvalidArgumentError(absl::StrCat(
          "task.metrics: '", metric, "' must be letters, digits and _, and not true_return"));
    }
  }
  if (!(task.step_seconds() > 0) || !std::isfinite(task.step_seconds())) {
    return absl::InvalidArgumentError("task.step_seconds must be a positive number");
  }
  if (!(task.playback_fps() >= 0) || !std::isfinite(task.playback_fps())) {
    return absl::InvalidArgumentError("task.playback_fps must be 0 or a positive number");
  }
  return absl::OkStatus();
}

namespace {

// Checks all but the number of steps and what teachers answer by.
absl::Status CheckClipParts(absl::string_view name, const v1::Clip& clip,
                            const v1::TaskInfo& task) {
  const int64_t moments = clip.steps() + 1;
  RETURN_IF_ERROR(CheckNumbers(name, "observations", clip.observations(),
                               moments * task.observation_size(),
                               "(steps + 1) x observation_size"));
  RETURN_IF_ERROR(CheckNumbers(name, "actions", clip.actions(),
                               int64_t{clip.steps()} * task.action_size(), "steps x action_size"));
  if (!clip.has_poses()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ".poses is missing: a clip must be one that can be shown"));
  }
  RETURN_IF_ERROR(
      CheckRange(absl::StrCat(name, ".poses.bodies"), clip.poses().bodies(), 1, 10'000));
  RETURN_IF_ERROR(CheckNumbers(name, "poses.poses", clip.poses().poses(),
                               moments * clip.poses().bodies() * 7, "(steps + 1) x bodies x 7"));
  if (clip.states_size() % moments != 0) {
    return absl::InvalidArgumentError(absl::StrCat(name, ".states has ", clip.states_size(),
                                                   " numbers, which is no multiple of the ",
                                                   moments, " moments"));
  }
  RETURN_IF_ERROR(
      CheckNumbers(name, "states", clip.states(), clip.states_size(), "(steps + 1) x state_size"));
  RETURN_IF_ERROR(
      CheckRange(absl::StrCat(name, ".policy_version"), clip.policy_version(), 0, kMaxIteration));
  RETURN_IF_ERROR(CheckRange(absl::StrCat(name, ".iteration"), clip.iteration(), 0, kMaxIteration));
  RETURN_IF_ERROR(CheckRange(absl::StrCat(name, ".ticket"), clip.ticket(), 0, 1 << 30));
  return CheckRange(absl::StrCat(name, ".index"), clip.index(), 0, 1 << 30);
}

}  // namespace

absl::Status CheckClip(absl::string_view name, const v1::Clip& clip, const v1::TaskInfo& task) {
  if (clip.steps() != task.clip_steps()) {
    return absl::InvalidArgumentError(absl::StrCat(name, ".steps is ", clip.steps(),
                                                   ", but clips of task '", task.name(), "' have ",
                                                   task.clip_steps(), " steps"));
  }
  RETURN_IF_ERROR(CheckClipParts(name, clip, task));
  RETURN_IF_ERROR(CheckNumbers(name, "true_rewards", clip.true_rewards(),
                               task.has_true_reward() ? clip.steps() : 0,
                               task.has_true_reward() ? "steps" : "the task has no true reward"));
  return CheckNumbers(name, "rubric", clip.rubric(), task.rubric_criteria(),
                      "one for each criterion of the task's rubric");
}

absl::Status CheckRecording(const v1::Clip& recording, const v1::TaskInfo& task) {
  RETURN_IF_ERROR(CheckRange("recording.steps", recording.steps(), 1, 1000));
  RETURN_IF_ERROR(
      CheckRange("recording.policy_version", recording.policy_version(), 1, kMaxIteration));
  RETURN_IF_ERROR(CheckClipParts("recording", recording, task));
  RETURN_IF_ERROR(CheckNumbers("recording", "true_rewards", recording.true_rewards(), 0,
                               "those are never recorded"));
  return CheckNumbers("recording", "rubric", recording.rubric(), 0, "it is never recorded");
}

absl::Status CheckNewQuestions(const v1::OpenQuestionsRequest& request) {
  RETURN_IF_ERROR(CheckRange("round", request.round(), 0, kMaxIteration));
  RETURN_IF_ERROR(CheckRange("ensemble_version", request.ensemble_version(), 0, kMaxIteration));
  RETURN_IF_ERROR(CheckText("selector", request.selector(), 64));
  for (int i = 0; i < request.questions_size(); ++i) {
    const v1::NewQuestion& question = request.questions(i);
    const std::string name = absl::StrCat("questions[", i, "]");
    if (question.clip_ids_size() < 2 || question.clip_ids_size() > rpc::kMaxQuestionClips) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ".clip_ids has ", question.clip_ids_size(),
                       " clips, but a pair has 2, and a ranking at most ", rpc::kMaxQuestionClips));
    }
    RETURN_IF_ERROR(CheckText(absl::StrCat(name, ".selector"), question.selector(), 64));
    std::set<std::string> named;
    for (int c = 0; c < question.clip_ids_size(); ++c) {
      RETURN_IF_ERROR(CheckClipId(absl::StrCat(name, ".clip_ids[", c, "]"), question.clip_ids(c)));
      if (!named.insert(question.clip_ids(c)).second) {
        return absl::InvalidArgumentError(absl::StrCat(name, ".clip_ids names one clip twice"));
      }
    }
    if (question.purpose() != v1::TRAIN && question.purpose() != v1::PROGRESS) {
      return absl::InvalidArgumentError(absl::StrCat(name, ".purpose must be TRAIN or PROGRESS"));
    }
    if (!std::isfinite(question.score())) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ".score is ", question.score(), ", but must be a finite number"));
    }
    RETURN_IF_ERROR(CheckRange(absl::StrCat(name, ".overlap"), question.overlap(), 0, 100));
  }
  return absl::OkStatus();
}

absl::Status CheckReliability(const v1::ReportReliabilityRequest& request) {
  RETURN_IF_ERROR(CheckRange("the number of labelers", request.labelers_size(), 0, 100'000));
  std::set<int32_t> seen;
  for (int i = 0; i < request.labelers_size(); ++i) {
    const v1::Reliability& labeler = request.labelers(i);
    const std::string name = absl::StrCat("labelers[", i, "]");
    if (!seen.insert(labeler.labeler()).second) {
      return absl::InvalidArgumentError(absl::StrCat(name, ".labeler is ", labeler.labeler(),
                                                     ", which came before: each labeler once"));
    }
    RETURN_IF_ERROR(
        CheckRange(absl::StrCat(name, ".labels"), labeler.labels(), 0, int64_t{1} << 60));
    if (!(0 <= labeler.low() && labeler.low() <= labeler.mean() &&
          labeler.mean() <= labeler.high() && labeler.high() <= 1)) {
      return absl::InvalidArgumentError(absl::StrCat(name, " has low ", labeler.low(), ", mean ",
                                                     labeler.mean(), " and high ", labeler.high(),
                                                     "; they must be in [0, 1] and in this order"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckTiming(absl::string_view field, const v1::Timing& timing) {
  constexpr int64_t kDayMs = 86'400'000;
  RETURN_IF_ERROR(CheckRange(absl::StrCat(field, ".decision_ms"), timing.decision_ms(), 0, kDayMs));
  RETURN_IF_ERROR(CheckRange(absl::StrCat(field, ".active_ms"), timing.active_ms(), 0, kDayMs));
  RETURN_IF_ERROR(
      CheckRange(absl::StrCat(field, ".first_played_ms"), timing.first_played_ms(), 0, kDayMs));
  return CheckRange(absl::StrCat(field, ".loops"), timing.loops(), 0, 1'000'000);
}

absl::Status CheckSubmit(const v1::SubmitRequest& request) {
  RETURN_IF_ERROR(CheckRequestId("idempotency_key", request.idempotency_key()));
  const v1::Answer& answer = request.answer();
  if (!answer.has_choice() && !answer.has_ranking()) {
    return absl::InvalidArgumentError(
        "answer is missing: a pair is answered by the choice LEFT, RIGHT, TIE, CANNOT_TELL or "
        "BROKEN, more clips by a ranking");
  }
  if (answer.has_choice() &&
      (answer.choice() == v1::CHOICE_UNSPECIFIED || !v1::Choice_IsValid(answer.choice()))) {
    return absl::InvalidArgumentError(
        "answer.choice must be LEFT, RIGHT, TIE, CANNOT_TELL or BROKEN");
  }
  RETURN_IF_ERROR(CheckTiming("timing", request.timing()));
  RETURN_IF_ERROR(CheckPlainText("note", request.note(), 500));
  return CheckText("client", request.client(), 200);
}

absl::Status CheckMetrics(const v1::ReportMetricsRequest& request, Role role) {
  RETURN_IF_ERROR(CheckRange("iteration", request.iteration(), 0, kMaxIteration));
  RETURN_IF_ERROR(CheckRange("steps", request.steps(), 0, kMaxSteps));
  if (request.values_size() > 256) {
    return absl::InvalidArgumentError(absl::StrCat("values has ", request.values_size(),
                                                   " metrics, but at most 256 are allowed"));
  }
  for (const auto& [name, value] : request.values()) {
    RETURN_IF_ERROR(CheckName("a metric's name", name));
    const bool allowed = role == Role::kTrainer
                             ? absl::StartsWith(name, "reward/")
                             : name == "predicted_return" || name == "steps_per_second" ||
                                   absl::StartsWith(name, "policy/");
    if (!allowed) {
      return absl::InvalidArgumentError(absl::StrCat(
          "a ", RoleName(role), " may not write the metric '", name, "': it writes ",
          role == Role::kTrainer ? "reward/..."
                                 : "predicted_return, steps_per_second and policy/..."));
    }
    if (!std::isfinite(value)) {
      return absl::InvalidArgumentError(
          absl::StrCat("the metric '", name, "' is ", value, ", but must be a finite number"));
    }
  }
  return absl::OkStatus();
}

absl::Status CheckEvaluation(absl::string_view name, const v1::Evaluation& evaluation,
                             const v1::TaskInfo& task) {
  RETURN_IF_ERROR(CheckRange(absl::StrCat(name, ".policy_version"), evaluation.policy_version(), 0,
                             kMaxIteration));
  RETURN_IF_ERROR(
      CheckRange(absl::StrCat(name, ".iteration"), evaluation.iteration(), 0, kMaxIteration));
  RETURN_IF_ERROR(CheckRange(absl::StrCat(name, ".steps"), evaluation.steps(), 0, kMaxSteps));
  RETURN_IF_ERROR(CheckRange(absl::StrCat(name, ".episode"), evaluation.episode(), 0,
                             kMaxEvaluationEpisodes - 1));
  if (evaluation.has_true_return() != task.has_true_reward()) {
    return absl::InvalidArgumentError(
        absl::StrCat(name, ".true_return must be ",
                     task.has_true_reward() ? "set" : "unset: the task has no true reward"));
  }
  if (!std::isfinite(evaluation.true_return())) {
    return absl::InvalidArgumentError(absl::StrCat(name, ".true_return must be a finite number"));
  }
  const std::set<std::string> known(task.metrics().begin(), task.metrics().end());
  for (const auto& [metric, value] : evaluation.metrics()) {
    if (known.count(metric) == 0) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ".metrics names '", metric, "', but the task has ",
                       known.empty() ? "none" : absl::StrJoin(known, ", ")));
    }
    if (!std::isfinite(value)) {
      return absl::InvalidArgumentError(
          absl::StrCat(name, ".metrics['", metric, "'] must be a finite number"));
    }
  }
  return absl::OkStatus();
}

}  // namespace backflip::preference_broker
