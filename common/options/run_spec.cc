#include "common/options/run_spec.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"

namespace backflip::options {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

void OverlayMessage(const Message& layer, Message* base) {
  std::vector<const FieldDescriptor*> fields;
  layer.GetReflection()->ListFields(layer, &fields);
  for (const FieldDescriptor* field : fields) {
    if (!field->is_repeated() && field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      OverlayMessage(layer.GetReflection()->GetMessage(layer, field),
                     base->GetReflection()->MutableMessage(base, field));
    } else {
      base->GetReflection()->ClearField(base, field);
    }
  }
}

// Refuses what a field must not be; remembers the first refusal.
class Checker {
 public:
  template <typename T>
  void InRange(const char* field, T value, T low, T high) {
    if (value >= low && value <= high) return;
    Fail(absl::StrCat(field, " is ", value, "; allowed: ", low, " to ", high));
  }
  // Excludes both bounds.
  void Between(const char* field, double value, double low, double high) {
    if (value > low && value < high) return;
    Fail(absl::StrCat(field, " is ", value, "; allowed: more than ", low, " and less than ", high));
  }
  void OneOf(const char* field, bool ok, const char* allowed) {
    if (!ok) Fail(absl::StrCat(field, " is not set to one of ", allowed));
  }
  void Hidden(const char* field, const google::protobuf::RepeatedField<int32_t>& widths) {
    if (widths.size() > 8)
      Fail(absl::StrCat(field, " has ", widths.size(), " layers; allowed: at most 8"));
    for (const int32_t width : widths) InRange<int64_t>(field, width, 1, 4096);
  }
  void Fail(std::string message) {
    if (status.ok()) status = absl::InvalidArgumentError(absl::StrCat("run spec: ", message));
  }
  absl::Status status;
};

class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (text.empty()) text = absl::StrCat(line + 1, ":", column + 1, ": ", message);
  }
  std::string text;
};

}  // namespace

v1::RunSpec DefaultRunSpec() {
  v1::RunSpec spec;
  spec.set_labels(700);
  spec.set_steps(5'000'000);
  spec.set_seed(1);
  spec.set_reward(v1::PREFERENCES);
  spec.set_lockstep(true);
  spec.set_steps_per_label(0);
  spec.set_warm_up_labels(0);
  spec.set_kept_snapshots(20);

  v1::Collection* collection = spec.mutable_collection();
  collection->set_environments(16);
  collection->set_batch_steps(8192);
  collection->set_clips_per_batch(64);
  collection->set_noise_correlation(0);

  v1::Ppo* ppo = spec.mutable_ppo();
  ppo->set_discount(0.995);
  ppo->set_gae_lambda(0.97);
  ppo->set_clip(0.2);
  ppo->set_epochs(10);
  ppo->set_minibatch_steps(512);
  ppo->set_learning_rate(3e-4);
  ppo->set_max_gradient_norm(0.5);
  ppo->set_entropy_bonus(0.01);
  ppo->set_initial_log_std(-0.5);
  ppo->set_min_log_std(-20);
  ppo->set_centre_rewards(true);
  ppo->set_reward_scale(0.1);
  ppo->set_final_learning_rate_share(1);
  ppo->set_reused_batches(0);
  for (int i = 0; i < 2; ++i) ppo->add_hidden(64);

  v1::RewardModel* reward = spec.mutable_reward_model();
  reward->set_members(3);
  reward->set_learning_rate(1e-3);
  reward->set_minibatch_labels(64);
  reward->set_initial_updates(150);
  reward->set_updates_per_round(8);
  reward->set_held_out(std::exp(-1.0));
  reward->set_weight_decay(1e-4);
  reward->set_adapt_weight_decay(true);
  reward->set_uniform_answers(0.1);
  for (int i = 0; i < 2; ++i) reward->add_hidden(64);

  v1::Queries* queries = spec.mutable_queries();
  queries->set_schedule(v1::ANNEALED);
  queries->set_initial_share(0.25);
  queries->set_selector(v1::DISAGREEMENT);
  queries->set_oversampling(10);
  queries->set_pool(1024);
  queries->set_asked_by(1);
  queries->set_overlap(1);
  queries->set_overlap_share(1);
  queries->set_max_overlap(0);
  queries->set_clips_per_question(2);
  queries->set_progress_share(0);
  queries->set_first_labels(30);

  v1::Quality* quality = spec.mutable_quality();
  quality->set_learn_reliability(true);
  quality->set_gold_share(0);
  quality->set_repeat_share(0);
  quality->set_qualification(0);
  quality->set_must_play_once(true);
  quality->set_break_after_minutes(30);
  quality->set_max_fast_answers(8);
  quality->set_max_cannot_tells(8);
  // one in 500,000 by chance
  quality->set_max_one_sided(20);
  quality->set_min_gold_score(0.6);
  quality->set_rule_window(50);
  return spec;
}

v1::RunSpec Overlay(const v1::RunSpec& base, const v1::RunSpec& layer) {
  v1::RunSpec result = base;
  // first forget in `base` what `layer` says, so that lists are replaced
  OverlayMessage(layer, &result);
  result.MergeFrom(layer);
  return result;
}

absl::Status ValidateRunSpec(const v1::RunSpec& spec) {
  Checker check;
  check.InRange<int64_t>("labels", spec.labels(), 1, 1'000'000);
  check.InRange<int64_t>("steps", spec.steps(), 1, 1'000'000'000'000);
  check.OneOf("reward", spec.reward() == v1::PREFERENCES || spec.reward() == v1::TRUE,
              "PREFERENCES, TRUE");
  check.InRange<int64_t>("steps_per_label", spec.steps_per_label(), 0, 1'000'000'000);
  check.InRange<int64_t>("warm_up_labels", spec.warm_up_labels(), 0, 1'000'000);
  check.InRange<int64_t>("kept_snapshots", spec.kept_snapshots(), 1, 1000);

  const v1::Collection& collection = spec.collection();
  check.InRange<int64_t>("collection.environments", collection.environments(), 1, 4096);
  check.InRange<int64_t>("collection.batch_steps", collection.batch_steps(), 1, 10'000'000);
  if (check.status.ok() && collection.batch_steps() % collection.environments() != 0) {
    check.Fail(absl::StrCat("collection.batch_steps is ", collection.batch_steps(),
                            "; it must be a multiple of collection.environments, ",
                            collection.environments()));
  }
  if (check.status.ok() && spec.steps() < collection.batch_steps()) {
    check.Fail(absl::StrCat("steps is ", spec.steps(),
                            "; it must be at least collection.batch_steps, ",
                            collection.batch_steps()));
  }
  check.InRange<int64_t>("collection.clips_per_batch", collection.clips_per_batch(), 0, 4096);
  if (spec.reward() == v1::PREFERENCES && collection.clips_per_batch() < 2) {
    check.Fail(
        "collection.clips_per_batch is below 2; a run with reward PREFERENCES needs at least two "
        "clips to compare");
  }
  if (collection.has_initial_episode_steps()) {
    check.InRange<int64_t>("collection.initial_episode_steps", collection.initial_episode_steps(),
                           1, 1'000'000);
  }
  check.InRange<double>("collection.noise_correlation", collection.noise_correlation(), 0, 0.99);

  const v1::Ppo& ppo = spec.ppo();
  check.Between("ppo.discount", ppo.discount(), 0, 1);
  check.InRange<double>("ppo.gae_lambda", ppo.gae_lambda(), 0, 1);
  check.Between("ppo.clip", ppo.clip(), 0, 1);
  check.InRange<int64_t>("ppo.epochs", ppo.epochs(), 1, 100);
  check.InRange<int64_t>("ppo.minibatch_steps", ppo.minibatch_steps(), 1, collection.batch_steps());
  check.Between("ppo.learning_rate", ppo.learning_rate(), 0, 1);
  check.Between("ppo.max_gradient_norm", ppo.max_gradient_norm(), 0, 1e9);
  check.InRange<double>("ppo.entropy_bonus", ppo.entropy_bonus(), 0, 10);
  check.InRange<double>("ppo.initial_log_std", ppo.initial_log_std(), -5, 2);
  check.InRange<double>("ppo.min_log_std", ppo.min_log_std(), -20, 2);
  if (ppo.has_final_min_log_std())
    check.InRange<double>("ppo.final_min_log_std", ppo.final_min_log_std(), -20, 2);
  check.Between("ppo.reward_scale", ppo.reward_scale(), 0, 1e6);
  check.InRange<double>("ppo.final_learning_rate_share", ppo.final_learning_rate_share(), 0, 1);
  check.InRange<int64_t>("ppo.reused_batches", ppo.reused_batches(), 0, 8);
  check.Hidden("ppo.hidden", ppo.hidden());

  const v1::RewardModel& reward = spec.reward_model();
  check.InRange<int64_t>("reward_model.members", reward.members(), 1, 32);
  check.Hidden("reward_model.hidden", reward.hidden());
  check.Between("reward_model.learning_rate", reward.learning_rate(), 0, 1);
  check.InRange<int64_t>("reward_model.minibatch_labels", reward.minibatch_labels(), 1, 4096);
  check.InRange<int64_t>("reward_model.initial_updates", reward.initial_updates(), 1, 1'000'000);
  check.InRange<int64_t>("reward_model.updates_per_round", reward.updates_per_round(), 0,
                         1'000'000);
  check.InRange<double>("reward_model.held_out", reward.held_out(), 0, 0.9);
  check.InRange<double>("reward_model.weight_decay", reward.weight_decay(), 0, 10);
  check.InRange<double>("reward_model.uniform_answers", reward.uniform_answers(), 0, 0.5);

  const v1::Queries& queries = spec.queries();
  check.OneOf("queries.schedule", queries.schedule() != v1::LABEL_SCHEDULE_UNSPECIFIED,
              "ANNEALED, UNIFORM");
  check.InRange<double>("queries.initial_share", queries.initial_share(), 1e-6, 1);
  check.OneOf("queries.selector", queries.selector() != v1::SELECTOR_UNSPECIFIED,
              "DISAGREEMENT, RANDOM");
  check.InRange<int64_t>("queries.oversampling", queries.oversampling(), 1, 1000);
  check.InRange<int64_t>("queries.pool", queries.pool(), 2, 100'000);
  check.InRange<double>("queries.asked_by", queries.asked_by(), 1e-6, 1);
  check.InRange<int64_t>("queries.overlap", queries.overlap(), 1, 100);
  check.InRange<double>("queries.overlap_share", queries.overlap_share(), 0, 1);
  check.InRange<int64_t>("queries.max_overlap", queries.max_overlap(), 0, 100);
  check.InRange<int64_t>("queries.clips_per_question", queries.clips_per_question(), 2, 8);
  check.InRange<double>("queries.progress_share", queries.progress_share(), 0, 0.5);
  check.InRange<int64_t>("queries.first_labels", queries.first_labels(), 1, 1'000'000);

  const v1::Quality& quality = spec.quality();
  check.InRange<double>("quality.gold_share", quality.gold_share(), 0, 0.5);
  check.InRange<double>("quality.repeat_share", quality.repeat_share(), 0, 0.5);
  check.InRange<int64_t>("quality.qualification", quality.qualification(), 0, 50);
  check.InRange<int64_t>("quality.break_after_minutes", quality.break_after_minutes(), 0, 1440);
  check.InRange<int64_t>("quality.max_fast_answers", quality.max_fast_answers(), 0, 1000);
  check.InRange<int64_t>("quality.max_cannot_tells", quality.max_cannot_tells(), 0, 1000);
  check.InRange<int64_t>("quality.max_one_sided", quality.max_one_sided(), 0, 1000);
  check.InRange<double>("quality.min_gold_score", quality.min_gold_score(), 0, 1);
  check.InRange<int64_t>("quality.rule_window", quality.rule_window(), 1, 100'000);
  return check.status;
}

absl::Status CheckFitsTask(const v1::RunSpec& spec, const v1::TaskInfo& task) {
  if (spec.reward() == v1::TRUE && !task.has_true_reward()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the task ", task.name(),
        " has no true reward to learn from. Give it one (true_reward in its task.textproto), "
        "or learn from comparisons (reward: PREFERENCES)"));
  }
  const v1::Collection& collection = spec.collection();
  if (collection.has_initial_episode_steps() &&
      (collection.initial_episode_steps() < task.clip_steps() ||
       collection.initial_episode_steps() > task.episode_steps())) {
    return absl::InvalidArgumentError(absl::StrCat(
        "collection.initial_episode_steps is ", collection.initial_episode_steps(),
        "; with the task ", task.name(), " allowed: ", task.clip_steps(),
        ", the steps of a clip, to ", task.episode_steps(), ", the task's episode_steps"));
  }
  return absl::OkStatus();
}

absl::StatusOr<v1::RunSpec> ReadRunSpecFile(const std::string& path) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat("cannot read the run spec '", path, "'"));
  std::stringstream text;
  text << file.rdbuf();
  v1::RunSpec spec;
  FirstError error;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  if (!parser.ParseFromString(text.str(), &spec)) {
    return absl::InvalidArgumentError(absl::StrCat(path, ":", error.text));
  }
  return spec;
}

}  // namespace backflip::options
