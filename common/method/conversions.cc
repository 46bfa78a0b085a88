#include "common/method/conversions.h"

#include "absl/strings/str_cat.h"
#include "common/base/draws.h"
#include "common/method/pace.h"

namespace backflip::method {
namespace {

Verdict VerdictOf(const v1::Answer& answer) {
  switch (answer.choice()) {  // unspecified where the answer is a ranking
    case v1::LEFT:
      return Verdict::kFirst;
    case v1::RIGHT:
      return Verdict::kSecond;
    case v1::TIE:
      return Verdict::kTie;
    default:
      return Verdict::kNothing;
  }
}

Purpose PurposeOf(v1::Purpose purpose) {
  switch (purpose) {
    case v1::TRAIN:
      return Purpose::kTrain;
    case v1::GOLD:
      return Purpose::kGold;
    default:
      return Purpose::kOther;
  }
}

}  // namespace

absl::StatusOr<learn::Clip> ClipOf(const v1::Clip& clip, const v1::TaskInfo& task) {
  const int64_t steps = clip.steps();
  if (steps < 1 || clip.observations_size() != (steps + 1) * task.observation_size() ||
      clip.actions_size() != steps * task.action_size()) {
    return absl::InvalidArgumentError(
        absl::StrCat("a clip of ", steps, " steps came with ", clip.observations_size(),
                     " observation and ", clip.actions_size(), " action values; the task has ",
                     task.observation_size(), " and ", task.action_size(), " each moment"));
  }
  learn::Clip result;
  // what follows the last action is shown, but not rewarded
  result.observations.assign(clip.observations().begin(),
                             clip.observations().end() - task.observation_size());
  result.actions.assign(clip.actions().begin(), clip.actions().end());
  return result;
}

LabelEntry EntryOf(const v1::LabelEntry& entry) {
  LabelEntry result;
  result.position = entry.position();
  result.label_id = entry.label_id();
  result.question_id = entry.question_id();
  result.ordinal = entry.ordinal();
  result.round = entry.round();
  result.purpose = PurposeOf(entry.purpose());
  result.clip_ids.assign(entry.clip_ids().begin(), entry.clip_ids().end());
  result.verdict = VerdictOf(entry.answer());
  for (const v1::RankGroup& group : entry.answer().ranking().groups()) {
    result.ranking.emplace_back(group.positions().begin(), group.positions().end());
  }
  result.expected = VerdictOf(entry.expected());
  result.labeler = entry.labeler();
  result.overlap = entry.overlap();
  result.surplus = entry.surplus();
  if (entry.has_supersedes()) result.supersedes = entry.supersedes();
  result.retraction = entry.retraction();
  return result;
}

FitterConfig FitterConfigOf(const v1::Run& run) {
  const v1::RunSpec& spec = run.spec();
  const v1::RewardModel& model = spec.reward_model();
  FitterConfig config;
  config.ensemble.members = model.members();
  if (model.hidden_size() > 0) {
    config.ensemble.hidden.assign(model.hidden().begin(), model.hidden().end());
  }
  config.ensemble.learning_rate = model.learning_rate();
  config.ensemble.minibatch = model.minibatch_labels();
  config.ensemble.random_answers = model.uniform_answers();
  config.ensemble.held_out = model.held_out();
  config.ensemble.weight_decay = model.weight_decay();
  config.ensemble.learn_reliability = spec.quality().learn_reliability();
  if (!model.adapt_weight_decay()) config.ensemble.weight_decay_step = 0;
  config.ensemble.seed = base::SeedOf(spec.seed(), base::Draw::kEnsemble);
  config.observation_size = run.task().observation_size();
  config.action_size = run.task().action_size();
  config.initial_updates = model.initial_updates();
  config.updates_per_round = model.updates_per_round();
  config.initial_labels = LabelsWantedAt(spec, 0);
  // asked after the first batch; the last question may give some more
  config.first_round_labels =
      LabelsWantedAt(spec, spec.collection().batch_steps()) + spec.queries().overlap();
  return config;
}

}  // namespace backflip::method
