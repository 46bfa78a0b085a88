#include "common/options/run_spec.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <limits>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"
#include "common/options/option.h"
#include "common/rpc/limits.h"

namespace backflip::options {
namespace {

using google::protobuf::FieldDescriptor;
using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::StartsWith;

TEST(RunSpec, DefaultsAreValidAndComplete) { EXPECT_TRUE(ValidateRunSpec(DefaultRunSpec()).ok()); }

TEST(RunSpec, LaterLayersWinAndListsAreReplaced) {
  v1::RunSpec layer;
  layer.set_labels(12);
  layer.mutable_ppo()->add_hidden(8);
  layer.mutable_queries()->set_initial_share(0.5);
  const v1::RunSpec merged = Overlay(DefaultRunSpec(), layer);
  EXPECT_EQ(merged.labels(), 12);
  ASSERT_EQ(merged.ppo().hidden_size(), 1);
  EXPECT_EQ(merged.ppo().hidden(0), 8);
  EXPECT_EQ(merged.queries().initial_share(), 0.5);
  EXPECT_EQ(merged.queries().pool(), DefaultRunSpec().queries().pool());
}

TEST(RunSpec, RefusalNamesFieldValueAndRange) {
  v1::RunSpec spec = DefaultRunSpec();
  spec.mutable_ppo()->set_clip(1.5);
  const absl::Status status = ValidateRunSpec(spec);
  EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(status.message()), HasSubstr("ppo.clip is 1.5"));
}

TEST(RunSpec, BatchMustDivideAmongEnvironments) {
  v1::RunSpec spec = DefaultRunSpec();
  spec.mutable_collection()->set_environments(7);
  EXPECT_THAT(std::string(ValidateRunSpec(spec).message()),
              HasSubstr("multiple of collection.environments"));
}

TEST(RunSpec, AClipIsNoLongerThanWhatAnEnvironmentGivesToABatch) {
  v1::TaskInfo task;
  task.set_name("robot");
  task.set_episode_steps(1000);
  task.set_has_true_reward(true);
  for (const bool people : {false, true}) {
    const v1::RunSpec spec = *ResolveRunSpec({}, people, {});
    const int steps = spec.collection().batch_steps() / spec.collection().environments();
    task.set_clip_steps(steps);
    EXPECT_TRUE(CheckFitsTask(spec, task).ok());
    task.set_clip_steps(steps + 1);
    EXPECT_THAT(std::string(CheckFitsTask(spec, task).message()),
                HasSubstr(absl::StrCat("has ", steps + 1, " steps, and an environment gives ",
                                       steps, " to a batch")));
    v1::RunSpec baseline = spec;
    baseline.set_reward(v1::TRUE);
    EXPECT_TRUE(CheckFitsTask(baseline, task).ok()) << "no clip is cut";
  }
}

TEST(RunSpec, ADeviationAmongMembersNeedsTwo) {
  for (const bool first : {true, false}) {
    v1::RunSpec spec = DefaultRunSpec();
    v1::RewardModel* model = spec.mutable_reward_model();
    first ? model->set_deviation_bonus(0.5) : model->set_final_deviation_bonus(-1);
    EXPECT_TRUE(ValidateRunSpec(spec).ok());
    model->set_members(1);
    EXPECT_THAT(std::string(ValidateRunSpec(spec).message()),
                HasSubstr("reward_model.members gives one"));
    spec.set_reward(v1::TRUE);
    EXPECT_TRUE(ValidateRunSpec(spec).ok()) << "nothing is learned from members";
  }
}

TEST(RunSpec, TrueReturnsAreATargetWhereTeachersAnswerAboutATaskThatHasThem) {
  v1::RunSpec request;
  request.mutable_reward_model()->set_target(v1::TRUE_RETURNS);
  EXPECT_THAT(std::string(ResolveRunSpec({}, /*people=*/true, request).status().message()),
              HasSubstr("people's answers would teach nothing"));
  v1::RunSpec spec = *ResolveRunSpec({}, /*people=*/false, request);
  v1::TaskInfo task;
  task.set_name("robot");
  EXPECT_THAT(std::string(CheckFitsTask(spec, task).message()),
              HasSubstr("the task robot has no true reward"));
  task.set_has_true_reward(true);
  EXPECT_TRUE(CheckFitsTask(spec, task).ok());
}

TEST(RunSpec, TheTrueRewardIsLearnedFromWhereThereIsOne) {
  v1::TaskInfo task;
  task.set_name("robot");
  v1::RunSpec spec = DefaultRunSpec();
  spec.set_reward(v1::TRUE);
  const absl::Status refused = CheckFitsTask(spec, task);
  EXPECT_EQ(refused.code(), absl::StatusCode::kFailedPrecondition);
  EXPECT_THAT(std::string(refused.message()), HasSubstr("the task robot has no true reward"));
  task.set_has_true_reward(true);
  EXPECT_TRUE(CheckFitsTask(spec, task).ok());
}

// Options of which any value is good.
const std::set<std::string> kUnbounded = {"seed"};

bool IsNumber(const Option& option) {
  return option.field->cpp_type() != FieldDescriptor::CPPTYPE_BOOL &&
         option.field->cpp_type() != FieldDescriptor::CPPTYPE_ENUM;
}

// The option as `value`, a list as this one number, in a spec whose other options leave it its
// whole range.
v1::RunSpec SpecWith(const Option& option, double value) {
  v1::RunSpec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "steps: 1000000000000 collection { environments: 1 batch_steps: 1 } "
      "ppo { minibatch_steps: 1 }",
      &spec));
  if (option.name == "collection.environments") spec.mutable_collection()->set_batch_steps(4096);
  if (option.name == "collection.clips_per_batch") spec.set_reward(v1::TRUE);
  if (option.name == "ppo.minibatch_steps") spec.mutable_collection()->set_batch_steps(10'000'000);
  spec = Overlay(DefaultRunSpec(), spec);
  google::protobuf::Message* message = &spec;
  for (const FieldDescriptor* const part : option.parents)
    message = message->GetReflection()->MutableMessage(message, part);
  const google::protobuf::Reflection* reflection = message->GetReflection();
  if (option.field->is_repeated()) {
    reflection->ClearField(message, option.field);
    reflection->AddInt32(message, option.field, static_cast<int32_t>(value));
  } else if (option.field->cpp_type() == FieldDescriptor::CPPTYPE_INT32) {
    reflection->SetInt32(message, option.field, static_cast<int32_t>(value));
  } else if (option.field->cpp_type() == FieldDescriptor::CPPTYPE_INT64) {
    reflection->SetInt64(message, option.field, static_cast<int64_t>(value));
  } else {
    reflection->SetDouble(message, option.field, value);
  }
  return spec;
}

TEST(RunSpec, EveryNumberIsTakenAtItsBoundsAndRefusedJustOutside) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const Option& option : Options()) {
    if (!IsNumber(option) || kUnbounded.count(option.name) > 0) continue;
    SCOPED_TRACE(option.name);
    const v1::OptionRules& rules = option.rules();
    ASSERT_NE(rules.has_min(), rules.has_above());
    ASSERT_NE(rules.has_max(), rules.has_below());
    const bool whole = option.field->cpp_type() != FieldDescriptor::CPPTYPE_DOUBLE;
    const auto above = [&](double v) { return whole ? v + 1 : std::nextafter(v, kInfinity); };
    const auto below = [&](double v) { return whole ? v - 1 : std::nextafter(v, -kInfinity); };
    for (const double good : {rules.has_min() ? rules.min() : above(rules.above()),
                              rules.has_max() ? rules.max() : below(rules.below())}) {
      const absl::Status status = ValidateRunSpec(SpecWith(option, good));
      EXPECT_TRUE(status.ok()) << good << ": " << status;
    }
    std::vector<double> refused = {rules.has_min() ? below(rules.min()) : rules.above(),
                                   rules.has_max() ? above(rules.max()) : rules.below()};
    if (!whole) refused.push_back(std::numeric_limits<double>::quiet_NaN());
    for (const double bad : refused) {
      const absl::Status status = ValidateRunSpec(SpecWith(option, bad));
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
      EXPECT_THAT(std::string(status.message()),
                  StartsWith(absl::StrCat("run spec: ", option.name, " is ")));
      EXPECT_THAT(std::string(status.message()),
                  HasSubstr(absl::StrCat("; allowed: ", rules.has_above() ? "more than " : "")));
    }
  }
}

TEST(RunSpec, EveryOptionHasADefault) {
  for (const Option& option : Options()) {
    EXPECT_FALSE(option.rules().default_().empty()) << option.name;
    v1::RunSpec spec;
    SetDefault(option, &spec);
    EXPECT_FALSE(spec.SerializeAsString().empty()) << option.name;
  }
}

TEST(RunSpec, RangesAgreeWithTheLimitsOfMessages) {
  std::map<std::string, double> max;
  for (const Option& option : Options()) max[option.name] = option.rules().max();
  EXPECT_EQ(max["queries.clips_per_question"], rpc::kMaxQuestionClips);
  EXPECT_EQ(max["steps"], rpc::kMaxSteps);
}

TEST(RunSpec, RefusalsSayWhatIsAllowed) {
  std::map<std::string, std::string> allowed;
  for (const Option& option : Options()) allowed[option.name] = Allowed(option);
  EXPECT_EQ(allowed["steps"], "1 to 1000000000000");
  EXPECT_EQ(allowed["ppo.discount"], "more than 0 and less than 1");
  EXPECT_EQ(allowed["queries.initial_share"], "1e-06 to 1");
  EXPECT_EQ(allowed["queries.selector"], "DISAGREEMENT, RANDOM, ENTROPY");
  EXPECT_EQ(allowed["seed"], "");
  EXPECT_EQ(allowed["lockstep"], "");
}

v1::RunSpec Text(const std::string& text) {
  v1::RunSpec spec;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &spec)) << text;
  return spec;
}

TEST(ResolveRunSpec, LaysTheRequestOverThePeoplesLayerOverTheTaskOverTheDefaults) {
  const v1::RunSpec task = Text("labels: 500 steps: 1000000 quality { gold_share: 0.3 }");
  const auto spec = ResolveRunSpec(task, true, Text("labels: 300 queries { progress_share: 0 }"));
  ASSERT_TRUE(spec.ok()) << spec.status();
  EXPECT_EQ(spec->seed(), 1u);
  EXPECT_EQ(spec->steps(), 1'000'000);
  EXPECT_EQ(spec->labels(), 300);
  EXPECT_FALSE(spec->lockstep());
  EXPECT_DOUBLE_EQ(spec->quality().gold_share(), 0.05);
  EXPECT_EQ(spec->queries().progress_share(), 0);
  EXPECT_EQ(spec->steps_per_label(), 3333);
  EXPECT_EQ(spec->warm_up_labels(), 300);

  const auto without = ResolveRunSpec(task, false, Text("labels: 300"));
  ASSERT_TRUE(without.ok()) << without.status();
  EXPECT_TRUE(without->lockstep());
  EXPECT_DOUBLE_EQ(without->quality().gold_share(), 0.3);
  EXPECT_EQ(without->steps_per_label(), 0);
}

TEST(ResolveRunSpec, DerivesThePaceOfPeoplesRunsOnlyWhereItIsNotGiven) {
  const auto pace = [](const std::string& task, const std::string& request) {
    const auto spec = ResolveRunSpec(Text(task), true,
                                     Overlay(Text("labels: 100 steps: 1000000"), Text(request)));
    EXPECT_TRUE(spec.ok()) << spec.status();
    return std::pair(spec->steps_per_label(), spec->warm_up_labels());
  };
  EXPECT_EQ(pace("", ""), std::pair(int64_t{10'000}, 100));
  EXPECT_EQ(pace("", "warm_up_labels: 40"), std::pair(int64_t{10'000}, 40));
  EXPECT_EQ(pace("warm_up_labels: 0", ""), std::pair(int64_t{10'000}, 0));
  EXPECT_EQ(pace("", "steps_per_label: 700"), std::pair(int64_t{700}, 0));
  EXPECT_EQ(pace("steps_per_label: 700", "warm_up_labels: 40"), std::pair(int64_t{700}, 40));
}

TEST(ResolveRunSpec, HalvesPeoplesBatchesWhereTheyDivide) {
  const auto batch = [](const std::string& task) {
    const auto spec = ResolveRunSpec(Text(task), true, v1::RunSpec());
    EXPECT_TRUE(spec.ok()) << spec.status();
    return std::vector<int>{spec->collection().batch_steps(), spec->collection().clips_per_batch(),
                            spec->ppo().reused_batches(), spec->ppo().epochs()};
  };
  EXPECT_EQ(batch(""), (std::vector<int>{4096, 64, 1, 5}));
  EXPECT_EQ(batch("ppo { reused_batches: 1 epochs: 5 }"), (std::vector<int>{4096, 64, 3, 3}));
  EXPECT_EQ(batch("ppo { minibatch_steps: 8192 }"), (std::vector<int>{8192, 128, 0, 10}));
  EXPECT_EQ(batch("collection { environments: 24 batch_steps: 984 } ppo { minibatch_steps: 82 }"),
            (std::vector<int>{984, 128, 0, 10}))
      << "492 steps do not divide among 24 environments";
}

TEST(StoredSpec, HasTheDefaultsOfWhatAnOlderVersionDidNotStore) {
  const v1::RunSpec spec = StoredSpec(Text("labels: 12 ppo { hidden: 8 }").SerializeAsString());
  EXPECT_EQ(spec.labels(), 12);
  ASSERT_EQ(spec.ppo().hidden_size(), 1);
  EXPECT_EQ(spec.ppo().min_log_std(), DefaultRunSpec().ppo().min_log_std());
  EXPECT_TRUE(ValidateRunSpec(spec).ok());
}

TEST(RunSpec, ChoicesAreSet) {
  const auto refusal = [](auto change) {
    v1::RunSpec spec = DefaultRunSpec();
    change(&spec);
    return std::string(ValidateRunSpec(spec).message());
  };
  EXPECT_THAT(refusal([](auto* s) { s->clear_reward(); }),
              HasSubstr("reward is not set to one of PREFERENCES, TRUE"));
  EXPECT_THAT(refusal([](auto* s) { s->mutable_queries()->clear_schedule(); }),
              HasSubstr("queries.schedule is not set to one of ANNEALED, UNIFORM"));
  EXPECT_THAT(refusal([](auto* s) { s->mutable_queries()->clear_selector(); }),
              HasSubstr("queries.selector is not set to one of DISAGREEMENT, RANDOM"));
}

TEST(RunSpec, FieldsThatBoundEachOtherSaySo) {
  const auto refusal = [](auto change) {
    v1::RunSpec spec = DefaultRunSpec();
    change(&spec);
    return std::string(ValidateRunSpec(spec).message());
  };
  EXPECT_THAT(refusal([](auto* s) { s->set_steps(8191); }),
              HasSubstr("steps is 8191; it must be at least collection.batch_steps, 8192"));
  EXPECT_EQ(refusal([](auto* s) { s->set_steps(8192); }), "");
  EXPECT_THAT(refusal([](auto* s) { s->mutable_collection()->set_clips_per_batch(1); }),
              HasSubstr("at least two clips"));
  EXPECT_EQ(refusal([](auto* s) { s->mutable_collection()->set_clips_per_batch(2); }), "");
  for (const bool reward : {false, true}) {
    const auto layers = [&](int count) {
      return refusal([&](auto* s) {
        auto* const hidden = reward ? s->mutable_reward_model()->mutable_hidden()
                                    : s->mutable_ppo()->mutable_hidden();
        hidden->Clear();
        for (int i = 0; i < count; ++i) hidden->Add(8);
      });
    };
    EXPECT_EQ(layers(0), "");
    EXPECT_EQ(layers(8), "");
    EXPECT_THAT(layers(9), HasSubstr("hidden has 9 layers; allowed: at most 8"));
  }
}

TEST(RunSpec, FileErrorNamesLineAndField) {
  const std::string path = testing::TempDir() + "/bad_run_spec.textproto";
  std::ofstream(path) << "labels: 3\nlables: 4\n";
  const auto spec = ReadRunSpecFile(path);
  EXPECT_EQ(spec.status().code(), absl::StatusCode::kInvalidArgument);
  EXPECT_THAT(std::string(spec.status().message()), HasSubstr("bad_run_spec.textproto:2:"));
  EXPECT_THAT(std::string(spec.status().message()), HasSubstr("lables"));
}

}  // namespace
}  // namespace backflip::options
