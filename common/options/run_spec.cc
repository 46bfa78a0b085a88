#include "common/options/run_spec.h"

#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/options/option.h"

namespace backflip::options {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::Message;

// Shares of a person's questions that check their answers: asked before, and with a known answer.
constexpr double kRepeatShare = 0.04;
constexpr double kGoldShare = 0.05;
// Questions that compare the newest policy with earlier ones, per question to train on: they show
// when the policy games the reward.
constexpr double kProgressShare = 0.05;

void ClearFieldsOf(const Message& layer, Message* base) {
  std::vector<const FieldDescriptor*> fields;
  layer.GetReflection()->ListFields(layer, &fields);
  for (const FieldDescriptor* field : fields) {
    if (!field->is_repeated() && field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE) {
      ClearFieldsOf(layer.GetReflection()->GetMessage(layer, field),
                    base->GetReflection()->MutableMessage(base, field));
    } else {
      base->GetReflection()->ClearField(base, field);
    }
  }
}

// The layer of runs that people answer, over the layers `below`: no lockstep, checks of answers,
// and batches half as long. An answer reaches the policy with the next batch, and a batch waits
// for the labels that allow its steps, so shorter batches show people sooner what they taught.
// Updates still learn from as many steps, as often: each learns from the batch before, too.
v1::RunSpec PeoplesLayer(const v1::RunSpec& below) {
  v1::RunSpec layer;
  layer.set_lockstep(false);
  layer.mutable_quality()->set_repeat_share(kRepeatShare);
  layer.mutable_quality()->set_gold_share(kGoldShare);
  layer.mutable_queries()->set_progress_share(kProgressShare);
  const v1::Collection& collection = below.collection();
  const v1::Ppo& ppo = below.ppo();
  const int half = collection.batch_steps() / 2;
  if (half % std::max(1, collection.environments()) != 0 || half < ppo.minibatch_steps())
    return layer;
  layer.mutable_collection()->set_batch_steps(half);
  layer.mutable_collection()->set_clips_per_batch((collection.clips_per_batch() + 1) / 2);
  layer.mutable_reward_model()->set_updates_per_batch(
      (below.reward_model().updates_per_batch() + 1) / 2);
  layer.mutable_ppo()->set_reused_batches(2 * ppo.reused_batches() + 1);
  layer.mutable_ppo()->set_epochs((ppo.epochs() + 1) / 2);
  return layer;
}

class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (text.empty()) text = absl::StrCat(line + 1, ":", column + 1, ": ", message);
  }
  std::string text;
};

absl::Status Refusal(absl::string_view reason) {
  return absl::InvalidArgumentError(absl::StrCat("run spec: ", reason));
}

}  // namespace

v1::RunSpec DefaultRunSpec() {
  static const auto* const defaults = [] {
    auto* const spec = new v1::RunSpec;
    for (const Option& option : Options()) SetDefault(option, spec);
    return spec;
  }();
  return *defaults;
}

v1::RunSpec Overlay(const v1::RunSpec& base, const v1::RunSpec& layer) {
  v1::RunSpec result = base;
  // otherwise MergeFrom would append to lists
  ClearFieldsOf(layer, &result);
  result.MergeFrom(layer);
  return result;
}

absl::StatusOr<v1::RunSpec> ResolveRunSpec(const v1::RunSpec& task_defaults, bool people,
                                           const v1::RunSpec& request) {
  v1::RunSpec spec = Overlay(DefaultRunSpec(), task_defaults);
  if (people) spec = Overlay(spec, PeoplesLayer(spec));
  spec = Overlay(spec, request);
  const v1::RunSpec given = Overlay(task_defaults, request);
  if (people && !given.has_steps_per_label()) {
    spec.set_steps_per_label(std::max<int64_t>(1, spec.steps() / std::max(1, spec.labels())));
    if (!given.has_warm_up_labels()) spec.set_warm_up_labels(spec.labels());
  }
  if (people && spec.reward_model().target() == v1::TRUE_RETURNS) {
    return Refusal(
        "reward_model.target: TRUE_RETURNS is fitted to the task's true reward, and people's "
        "answers would teach nothing; allowed where people answer: COMPARISONS");
  }
  RETURN_IF_ERROR(ValidateRunSpec(spec));
  return spec;
}

v1::RunSpec StoredSpec(const std::string& bytes) {
  v1::RunSpec spec;
  spec.ParseFromString(bytes);
  return Overlay(DefaultRunSpec(), spec);
}

absl::Status ValidateRunSpec(const v1::RunSpec& spec) {
  for (const Option& option : Options()) RETURN_IF_ERROR(CheckOption(option, spec));
  const v1::Collection& collection = spec.collection();
  if (collection.batch_steps() % collection.environments() != 0) {
    return Refusal(absl::StrCat("collection.batch_steps is ", collection.batch_steps(),
                                "; it must be a multiple of collection.environments, ",
                                collection.environments()));
  }
  if (spec.steps() < collection.batch_steps()) {
    return Refusal(absl::StrCat("steps is ", spec.steps(),
                                "; it must be at least collection.batch_steps, ",
                                collection.batch_steps()));
  }
  if (spec.reward() == v1::PREFERENCES && collection.clips_per_batch() < 2) {
    return Refusal(
        "collection.clips_per_batch is below 2; a run with reward PREFERENCES needs at least two "
        "clips to compare");
  }
  const v1::RewardModel& model = spec.reward_model();
  if (spec.reward() == v1::PREFERENCES && model.members() < 2 &&
      (model.deviation_bonus() != 0 || model.final_deviation_bonus() != 0)) {
    return Refusal(
        "reward_model.deviation_bonus and final_deviation_bonus are deviations among members, of "
        "which reward_model.members gives one; allowed: 0, or at least two members");
  }
  if (spec.ppo().minibatch_steps() > collection.batch_steps()) {
    return Refusal(absl::StrCat("ppo.minibatch_steps is ", spec.ppo().minibatch_steps(),
                                "; allowed: 1 to ", collection.batch_steps()));
  }
  return absl::OkStatus();
}

absl::Status CheckFitsTask(const v1::RunSpec& spec, const v1::TaskInfo& task) {
  if (spec.reward() == v1::TRUE && !task.has_true_reward()) {
    return absl::FailedPreconditionError(absl::StrCat(
        "the task ", task.name(),
        " has no true reward to learn from. Give it one (true_reward in its task.textproto), "
        "or learn from comparisons (reward: PREFERENCES)"));
  }
  if (spec.reward() == v1::PREFERENCES && spec.reward_model().target() == v1::TRUE_RETURNS &&
      !task.has_true_reward()) {
    return absl::FailedPreconditionError(
        absl::StrCat("the task ", task.name(),
                     " has no true reward, to whose returns reward_model.target: TRUE_RETURNS is "
                     "fitted; allowed: COMPARISONS"));
  }
  const v1::Collection& collection = spec.collection();
  const int ticket_steps = collection.batch_steps() / collection.environments();
  if (spec.reward() == v1::PREFERENCES && ticket_steps < task.clip_steps()) {
    return absl::InvalidArgumentError(absl::StrCat(
        "a clip of the task ", task.name(), " has ", task.clip_steps(),
        " steps, and an environment gives ", ticket_steps, " to a batch (collection.batch_steps ",
        collection.batch_steps(), " / collection.environments ", collection.environments(),
        "), so that no clip could be cut: shorten the task's clip.steps to ", ticket_steps,
        ", or give more steps to each environment"));
  }
  return absl::OkStatus();
}

absl::Status ReadTextFile(const std::string& path, google::protobuf::Message* message) {
  std::ifstream file(path);
  if (!file) return absl::NotFoundError(absl::StrCat("cannot read '", path, "'"));
  std::stringstream text;
  text << file.rdbuf();
  FirstError error;
  google::protobuf::TextFormat::Parser parser;
  parser.RecordErrorsTo(&error);
  if (parser.ParseFromString(text.str(), message)) return absl::OkStatus();
  return absl::InvalidArgumentError(absl::StrCat(path, ":", error.text));
}

absl::StatusOr<v1::RunSpec> ReadRunSpecFile(const std::string& path) {
  v1::RunSpec spec;
  RETURN_IF_ERROR(ReadTextFile(path, &spec));
  return spec;
}

}  // namespace backflip::options
