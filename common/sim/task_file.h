// Task files: text to a checked v1::Task, with errors that name file and line.
#ifndef BACKFLIP_COMMON_SIM_TASK_FILE_H_
#define BACKFLIP_COMMON_SIM_TASK_FILE_H_

#include <memory>
#include <string>

#include "absl/status/status.h"
#include "absl/status/statusor.h"
#include "absl/strings/string_view.h"
#include "backflip/v1/task.pb.h"
#include "google/protobuf/text_format.h"

namespace backflip::sim {

// A message of a task file together with where it was written.
class Located {
 public:
  Located(std::string file, const google::protobuf::Message* message,
          const google::protobuf::TextFormat::ParseInfoTree* tree, int line)
      : file_(std::move(file)), message_(message), tree_(tree), line_(line) {}

  // InvalidArgument "file:line: field: reason". `index` counts within a
  // repeated field. A field that is not in the file has its message's line.
  absl::Status Error(absl::string_view field, absl::string_view reason, int index = -1) const;
  // The message in `field`.
  Located Nested(absl::string_view field, int index = -1) const;

 private:
  int Line(const google::protobuf::FieldDescriptor* field, int index) const;

  std::string file_;
  const google::protobuf::Message* message_;
  const google::protobuf::TextFormat::ParseInfoTree* tree_;
  int line_;
};

class TaskFile {
 public:
  // `file` is for messages only. Checks everything that can be checked without
  // the model: fields, ranges, names, but no expression and no name of a model's
  // element. Fills in defaults that need no model.
  static absl::StatusOr<std::unique_ptr<TaskFile>> Parse(const std::string& text,
                                                         const std::string& file);

  const v1::Task& task() const { return task_; }
  Located located() const { return Located(file_, &task_, &tree_, 0); }

 private:
  TaskFile() = default;
  absl::Status Check() const;
  absl::Status CheckReset(const Located& at) const;
  absl::Status CheckView() const;
  absl::Status CheckQuantities() const;
  absl::Status CheckMetrics() const;

  std::string file_;
  v1::Task task_;
  google::protobuf::TextFormat::ParseInfoTree tree_;
};

}  // namespace backflip::sim

#endif  // BACKFLIP_COMMON_SIM_TASK_FILE_H_
