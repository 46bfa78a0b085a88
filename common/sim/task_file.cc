#include "common/sim/task_file.h"

#include <algorithm>
#include <set>
#include <utility>

#include "absl/strings/ascii.h"
#include "absl/strings/str_cat.h"
#include "common/base/status_macros.h"
#include "common/experience/limits.h"
#include "common/sim/expression.h"
#include "google/protobuf/io/tokenizer.h"

namespace backflip::sim {
namespace {

using google::protobuf::FieldDescriptor;
using google::protobuf::TextFormat;

constexpr size_t kMostBytes = 1 << 20;
// Quantities, and metrics.
constexpr int kMostNamed = 1000;

class FirstError : public google::protobuf::io::ErrorCollector {
 public:
  explicit FirstError(std::string file) : file_(std::move(file)) {}

  void AddError(int line, int column, const std::string& message) override {
    if (!status_.ok()) return;
    status_ = absl::InvalidArgumentError(
        absl::StrCat(file_, ":", line + 1, ":", column + 1, ": ", message));
  }
  const absl::Status& status() const { return status_; }

 private:
  const std::string file_;
  absl::Status status_;
};

absl::Status CheckRange(const Located& at, absl::string_view field, double value, double low,
                        double high) {
  if (value >= low && value <= high) return absl::OkStatus();
  return at.Error(field, absl::StrCat("is ", value, "; must be ", low, " to ", high));
}

// Whether a quantity or a metric has a name that is not among `names`, and says
// what it is. Adds its name.
template <typename Message>
absl::Status CheckNamed(absl::string_view what, const Message& message, const Located& at,
                        std::set<std::string>* names) {
  if (const absl::Status ok = CheckName(message.name()); !ok.ok()) {
    return at.Error("name", ok.message());
  }
  if (!names->insert(message.name()).second) {
    return at.Error("name", absl::StrCat("a second ", what, " \"", message.name(), "\""));
  }
  if (message.value_case() == Message::VALUE_NOT_SET) {
    return at.Error("name",
                    absl::StrCat(what, " \"", message.name(), "\" does not say what it is"));
  }
  return absl::OkStatus();
}

// The `joint` of `at`.
absl::Status CheckJoints(const google::protobuf::RepeatedPtrField<v1::JointStart>& joints,
                         const Located& at) {
  for (int i = 0; i < joints.size(); ++i) {
    for (const auto& [field, interval] : {std::pair("position", joints[i].position()),
                                          std::pair("velocity", joints[i].velocity())}) {
      if (!(interval.from() >= -1e4 && interval.from() <= interval.to() && interval.to() <= 1e4)) {
        return at.Nested("joint", i)
            .Error(field, "`from` must be at most `to`, and both -10000 to 10000");
      }
    }
  }
  return absl::OkStatus();
}

}  // namespace

int Located::Line(const FieldDescriptor* field, int index) const {
  if (tree_ == nullptr || field == nullptr) return line_;
  if (field->is_repeated() && index < 0) index = 0;
  const int line = tree_->GetLocation(field, index).line;
  return line < 0 ? line_ : line;
}

absl::Status Located::Error(absl::string_view field, absl::string_view reason, int index) const {
  const auto* descriptor = message_->GetDescriptor()->FindFieldByName(std::string(field));
  return absl::InvalidArgumentError(
      absl::StrCat(file_, ":", Line(descriptor, index) + 1, ": ", field, ": ", reason));
}

Located Located::Nested(absl::string_view field, int index) const {
  const auto* descriptor = message_->GetDescriptor()->FindFieldByName(std::string(field));
  const auto* reflection = message_->GetReflection();
  const auto& nested = descriptor->is_repeated()
                           ? reflection->GetRepeatedMessage(*message_, descriptor, index)
                           : reflection->GetMessage(*message_, descriptor);
  return Located(file_, &nested,
                 tree_ == nullptr ? nullptr : tree_->GetTreeForNested(descriptor, index),
                 Line(descriptor, index));
}

absl::StatusOr<std::unique_ptr<TaskFile>> TaskFile::Parse(const std::string& text,
                                                          const std::string& file) {
  auto result = std::unique_ptr<TaskFile>(new TaskFile);
  result->file_ = file;
  if (text.size() > kMostBytes) {
    return absl::InvalidArgumentError(absl::StrCat(file, ": a task file has at most ", kMostBytes,
                                                   " bytes, this one ", text.size()));
  }
  TextFormat::Parser parser;
  FirstError errors(file);
  parser.RecordErrorsTo(&errors);
  parser.WriteLocationsTo(&result->tree_);
  if (!parser.ParseFromString(text, &result->task_)) {
    return errors.status().ok() ? absl::InvalidArgumentError(file + ": not a task file")
                                : errors.status();
  }
  RETURN_IF_ERROR(result->Check());
  v1::Task& task = result->task_;
  if (task.evaluation_steps() == 0) {
    task.set_evaluation_steps(task.episode_steps());
  }
  return result;
}

absl::Status TaskFile::Check() const {
  const Located at = located();
  const std::string& name = task_.name();
  if (!experience::IsTaskName(name)) {
    return at.Error("name", absl::StrCat("\"", name, "\" must be 1 to 64 of ",
                                         "a-z, 0-9 and _, a letter first"));
  }
  if (task_.model().empty()) {
    return at.Error("model", "missing: the MJCF file's path, relative to the task's folder");
  }
  RETURN_IF_ERROR(CheckRange(at, "frame_skip", task_.frame_skip(), 1, 10000));
  RETURN_IF_ERROR(CheckRange(at, "episode_steps", task_.episode_steps(), 1, 1e6));
  RETURN_IF_ERROR(CheckRange(at, "evaluation_steps", task_.evaluation_steps(), 0, 1e6));
  RETURN_IF_ERROR(CheckReset(at.Nested("reset")));
  RETURN_IF_ERROR(CheckView());
  for (const auto& [field, count] :
       {std::pair("quantity", task_.quantity_size()), std::pair("metric", task_.metric_size())}) {
    if (count > kMostNamed) {
      return at.Error(field, absl::StrCat("there are ", count, "; at most ", kMostNamed), 0);
    }
  }
  RETURN_IF_ERROR(CheckQuantities());
  return CheckMetrics();
}

absl::Status TaskFile::CheckReset(const Located& at) const {
  RETURN_IF_ERROR(CheckRange(at, "qpos_noise", task_.reset().qpos_noise(), 0, 100));
  RETURN_IF_ERROR(CheckRange(at, "qvel_noise", task_.reset().qvel_noise(), 0, 100));
  const v1::ExploringStarts& exploring = task_.reset().exploring_starts();
  const Located starts = at.Nested("exploring_starts");
  RETURN_IF_ERROR(CheckRange(starts, "share", exploring.share(), 0, 1));
  if (exploring.share() > 0 && exploring.joint().empty()) {
    return starts.Error("share", "no joint says where these episodes begin");
  }
  RETURN_IF_ERROR(CheckJoints(exploring.joint(), starts));
  return CheckJoints(task_.reset().joint(), at);
}

// What labelers see: clips, camera, texts.
absl::Status TaskFile::CheckView() const {
  const Located at = located();
  const Located clip = at.Nested("clip");
  RETURN_IF_ERROR(
      CheckRange(clip, "steps", task_.clip().steps(), 1, std::min(1000, task_.episode_steps())));
  if (task_.clip().has_playback_fps()) {
    RETURN_IF_ERROR(CheckRange(clip, "playback_fps", task_.clip().playback_fps(), 1, 1000));
  }
  const Located camera = at.Nested("camera");
  if (task_.camera().has_distance()) {
    RETURN_IF_ERROR(CheckRange(camera, "distance", task_.camera().distance(), 0.01, 1e4));
  }
  RETURN_IF_ERROR(CheckRange(camera, "azimuth", task_.camera().azimuth(), -360, 360));
  RETURN_IF_ERROR(CheckRange(camera, "elevation", task_.camera().elevation(), -90, 90));
  RETURN_IF_ERROR(CheckRange(camera, "height", task_.camera().height(), -1e4, 1e4));
  if (task_.question().empty() || task_.question().size() > experience::kMaxQuestionBytes) {
    return at.Error("question", "must be 1 to 200 bytes: what labelers are asked");
  }
  if (task_.instructions().size() > experience::kMaxInstructionBytes) {
    return at.Error("instructions", "must be at most 4,000 bytes");
  }
  return absl::OkStatus();
}

absl::Status TaskFile::CheckQuantities() const {
  std::set<std::string> names;
  for (int i = 0; i < task_.quantity_size(); ++i) {
    RETURN_IF_ERROR(
        CheckNamed("quantity", task_.quantity(i), located().Nested("quantity", i), &names));
  }
  return absl::OkStatus();
}

absl::Status TaskFile::CheckMetrics() const {
  std::set<std::string> names;
  for (int i = 0; i < task_.metric_size(); ++i) {
    const Located at = located().Nested("metric", i);
    const v1::Metric& metric = task_.metric(i);
    RETURN_IF_ERROR(CheckNamed("metric", metric, at, &names));
    if (metric.has_count() && (metric.count().at().empty() || metric.count().change().empty())) {
      return at.Error("count", "needs both `at` and `change`");
    }
  }
  if (task_.rubric().criterion_size() > experience::kMaxCriteria) {
    return located().Nested("rubric").Error(
        "criterion", absl::StrCat("at most ", experience::kMaxCriteria, " criteria"));
  }
  for (int i = 0; i < task_.rubric().criterion_size(); ++i) {
    const Located at = located().Nested("rubric").Nested("criterion", i);
    RETURN_IF_ERROR(CheckRange(at, "margin", task_.rubric().criterion(i).margin(), 1e-9, 1e9));
  }
  return absl::OkStatus();
}

}  // namespace backflip::sim
