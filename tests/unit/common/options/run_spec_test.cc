#include "common/options/run_spec.h"

#include <gmock/gmock.h>
#include <google/protobuf/descriptor.h>
#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "absl/strings/str_cat.h"

namespace backflip::options {
namespace {

using google::protobuf::FieldDescriptor;
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

TEST(RunSpec, FirstEpisodesFitTheTask) {
  v1::TaskInfo task;
  task.set_clip_steps(60);
  task.set_episode_steps(500);
  v1::RunSpec spec = DefaultRunSpec();
  EXPECT_TRUE(CheckFitsTask(spec, task).ok());
  for (const int steps : {60, 500}) {
    spec.mutable_collection()->set_initial_episode_steps(steps);
    EXPECT_TRUE(CheckFitsTask(spec, task).ok());
  }
  for (const int steps : {59, 501}) {
    spec.mutable_collection()->set_initial_episode_steps(steps);
    EXPECT_THAT(std::string(CheckFitsTask(spec, task).message()),
                HasSubstr("allowed: 60, the steps of a clip, to 500"));
  }
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

// What a field may be. `with`: what else the spec must say for the bounds to be
// the field's own.
struct Range {
  const char* field;
  double low, high;
  enum { kClosed, kOpen } bounds = kClosed;
  const char* with = "";
};

const Range kRanges[] = {
    {"labels", 1, 1e6},
    {"steps", 1, 1e12},
    {"steps_per_label", 0, 1e9},
    {"warm_up_labels", 0, 1e6},
    {"kept_snapshots", 1, 1000},
    {"collection.environments", 1, 4096, Range::kClosed, "collection { batch_steps: 4096 }"},
    {"collection.batch_steps", 1, 1e7},
    {"collection.clips_per_batch", 0, 4096, Range::kClosed, "reward: TRUE"},
    {"collection.noise_correlation", 0, 0.99},
    {"collection.initial_episode_steps", 1, 1e6},
    {"ppo.discount", 0, 1, Range::kOpen},
    {"ppo.gae_lambda", 0, 1},
    {"ppo.clip", 0, 1, Range::kOpen},
    {"ppo.epochs", 1, 100},
    {"ppo.minibatch_steps", 1, 777, Range::kClosed, "collection { batch_steps: 777 }"},
    {"ppo.learning_rate", 0, 1, Range::kOpen},
    {"ppo.max_gradient_norm", 0, 1e9, Range::kOpen},
    {"ppo.entropy_bonus", 0, 10},
    {"ppo.initial_log_std", -5, 2},
    {"ppo.min_log_std", -20, 2},
    {"ppo.final_min_log_std", -20, 2},
    {"ppo.reward_scale", 0, 1e6, Range::kOpen},
    {"ppo.final_learning_rate_share", 0, 1},
    {"ppo.reused_batches", 0, 8},
    {"ppo.hidden", 1, 4096},
    {"reward_model.members", 1, 32},
    {"reward_model.hidden", 1, 4096},
    {"reward_model.learning_rate", 0, 1, Range::kOpen},
    {"reward_model.minibatch_labels", 1, 4096},
    {"reward_model.initial_updates", 1, 1e6},
    {"reward_model.updates_per_round", 0, 1e6},
    {"reward_model.held_out", 0, 0.9},
    {"reward_model.weight_decay", 0, 10},
    {"reward_model.uniform_answers", 0, 0.5},
    {"queries.initial_share", 1e-6, 1},
    {"queries.oversampling", 1, 1000},
    {"queries.pool", 2, 100'000},
    {"queries.asked_by", 1e-6, 1},
    {"queries.overlap", 1, 100},
    {"queries.overlap_share", 0, 1},
    {"queries.max_overlap", 0, 100},
    {"queries.clips_per_question", 2, 8},
    {"queries.progress_share", 0, 0.5},
    {"queries.first_labels", 1, 1e6},
    {"quality.gold_share", 0, 0.5},
    {"quality.repeat_share", 0, 0.5},
    {"quality.qualification", 0, 50},
    {"quality.break_after_minutes", 0, 1440},
    {"quality.max_fast_answers", 0, 1000},
    {"quality.max_cannot_tells", 0, 1000},
    {"quality.max_one_sided", 0, 1000},
    {"quality.min_gold_score", 0, 1},
    {"quality.rule_window", 1, 100'000},
};

// Numbers of which any value is good.
const std::set<std::string> kUnbounded = {"seed"};

// The message that holds a field named with dots, and the field.
std::pair<google::protobuf::Message*, const FieldDescriptor*> Find(const std::string& name,
                                                                   v1::RunSpec* spec) {
  const size_t dot = name.find('.');
  const FieldDescriptor* field = spec->GetDescriptor()->FindFieldByName(name.substr(0, dot));
  if (dot == std::string::npos) return {spec, field};
  google::protobuf::Message* part = spec->GetReflection()->MutableMessage(spec, field);
  return {part, part->GetDescriptor()->FindFieldByName(name.substr(dot + 1))};
}

bool IsWhole(const FieldDescriptor& field) {
  return field.cpp_type() != FieldDescriptor::CPPTYPE_DOUBLE;
}

// In all rows; of a list, its one number.
v1::RunSpec SpecWith(const Range& range, double value) {
  v1::RunSpec layer;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(
      "steps: 1000000000000 collection { environments: 1 batch_steps: 1 } ppo { minibatch_steps: 1 "
      "}",
      &layer));
  v1::RunSpec with;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(range.with, &with));
  v1::RunSpec spec = Overlay(Overlay(DefaultRunSpec(), layer), with);
  const auto [message, field] = Find(range.field, &spec);
  const google::protobuf::Reflection* reflection = message->GetReflection();
  if (field->is_repeated()) {
    reflection->ClearField(message, field);
    reflection->AddInt32(message, field, static_cast<int32_t>(value));
  } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_INT32) {
    reflection->SetInt32(message, field, static_cast<int32_t>(value));
  } else if (field->cpp_type() == FieldDescriptor::CPPTYPE_INT64) {
    reflection->SetInt64(message, field, static_cast<int64_t>(value));
  } else {
    reflection->SetDouble(message, field, value);
  }
  return spec;
}

TEST(RunSpec, EveryNumberIsTakenAtItsBoundsAndRefusedJustOutside) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  for (const Range& range : kRanges) {
    SCOPED_TRACE(range.field);
    v1::RunSpec probe;
    const FieldDescriptor* const field = Find(range.field, &probe).second;
    ASSERT_NE(field, nullptr);
    const auto above = [&](double v) {
      return IsWhole(*field) ? v + 1 : std::nextafter(v, kInfinity);
    };
    const auto below = [&](double v) {
      return IsWhole(*field) ? v - 1 : std::nextafter(v, -kInfinity);
    };
    const bool open = range.bounds == Range::kOpen;
    for (const double good :
         {open ? above(range.low) : range.low, open ? below(range.high) : range.high}) {
      const absl::Status status = ValidateRunSpec(SpecWith(range, good));
      EXPECT_TRUE(status.ok()) << good << ": " << status;
    }
    std::vector<double> refused = {open ? range.low : below(range.low),
                                   open ? range.high : above(range.high)};
    if (!IsWhole(*field)) refused.push_back(std::numeric_limits<double>::quiet_NaN());
    for (const double bad : refused) {
      const absl::Status status = ValidateRunSpec(SpecWith(range, bad));
      EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << bad;
      EXPECT_THAT(std::string(status.message()),
                  StartsWith(absl::StrCat("run spec: ", range.field, " is ")));
      EXPECT_THAT(std::string(status.message()),
                  HasSubstr(absl::StrCat("; allowed: ", open ? "more than " : "")));
    }
  }
}

TEST(RunSpec, EveryNumberHasARange) {
  std::set<std::string> known(kUnbounded);
  for (const Range& range : kRanges) known.insert(range.field);
  const std::function<void(const google::protobuf::Descriptor&, const std::string&)> look =
      [&](const google::protobuf::Descriptor& message, const std::string& prefix) {
        for (int i = 0; i < message.field_count(); ++i) {
          const FieldDescriptor& field = *message.field(i);
          const std::string name = prefix + field.name();
          switch (field.cpp_type()) {
            case FieldDescriptor::CPPTYPE_MESSAGE:
              look(*field.message_type(), name + ".");
              break;
            case FieldDescriptor::CPPTYPE_BOOL:
            case FieldDescriptor::CPPTYPE_ENUM:
              break;
            default:
              EXPECT_EQ(known.count(name), 1u) << name << " is in no row of kRanges";
          }
        }
      };
  look(*v1::RunSpec::descriptor(), "");
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
