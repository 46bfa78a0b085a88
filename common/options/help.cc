#include "common/options/help.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/descriptor.pb.h>

#include <map>
#include <vector>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/options/option.h"

namespace backflip::options {

// run.proto as a FileDescriptorSet with its comments, which generated code leaves out; made by the
// build.
extern const unsigned char kRunProto[];
extern const int kRunProtoBytes;

namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::FileDescriptorProto;

constexpr size_t kColumns = 100;

// The comments of run.proto, by the place of what they stand above: field numbers and
// indices within a FileDescriptorProto.
using Comments = std::map<std::vector<int>, std::string>;

Comments ReadComments() {
  google::protobuf::FileDescriptorSet files;
  files.ParseFromArray(kRunProto, kRunProtoBytes);
  Comments comments;
  for (const auto& place : files.file(0).source_code_info().location())
    comments[{place.path().begin(), place.path().end()}] = place.leading_comments();
  return comments;
}

std::vector<int> PlaceOf(const Descriptor& message) {
  return {FileDescriptorProto::kMessageTypeFieldNumber, message.index()};
}
std::vector<int> PlaceOf(const FieldDescriptor& field) {
  return {FileDescriptorProto::kMessageTypeFieldNumber, field.containing_type()->index(),
          google::protobuf::DescriptorProto::kFieldFieldNumber, field.index()};
}
std::vector<int> PlaceOf(const EnumValueDescriptor& value) {
  return {FileDescriptorProto::kEnumTypeFieldNumber, value.type()->index(),
          google::protobuf::EnumDescriptorProto::kValueFieldNumber, value.index()};
}

// The comment at `place`, in lines behind `indent` spaces.
std::string Comment(const Comments& comments, const std::vector<int>& place, size_t indent) {
  std::string text;
  size_t column = kColumns;
  for (const absl::string_view word :
       absl::StrSplit(comments.at(place), absl::ByAnyChar(" \n"), absl::SkipEmpty())) {
    if (column + 1 + word.size() > kColumns) {
      absl::StrAppend(&text, text.empty() ? "" : "\n", std::string(indent, ' '), word);
      column = indent + word.size();
    } else {
      absl::StrAppend(&text, " ", word);
      column += 1 + word.size();
    }
  }
  return absl::StrCat(text, "\n");
}

// What an option may be, and its default.
std::string Rules(const Option& option) {
  const std::string allowed = Allowed(option);
  const std::string& by_default = option.rules().default_();
  std::string text;
  if (option.field->enum_type() != nullptr) {
    text = absl::StrCat("one of ", allowed);
  } else if (option.field->cpp_type() == FieldDescriptor::CPPTYPE_BOOL) {
    text = "true or false";
  } else {
    const bool whole = option.field->cpp_type() != FieldDescriptor::CPPTYPE_DOUBLE;
    text = option.field->is_repeated()
               ? absl::StrCat("at most ", option.rules().max_items(), " whole numbers")
           : whole ? "whole number"
                   : "number";
    if (!allowed.empty()) absl::StrAppend(&text, ", ", allowed);
  }
  return absl::StrCat(text, "; default ", by_default);
}

}  // namespace

std::string OptionsHelp() {
  const Comments comments = ReadComments();
  std::string text =
      "Options of a run: `backflip run FILE`, `backflip train --spec FILE`, and a task's\n"
      "`defaults` take any of them in protobuf's text format:\n\n"
      "  labels: 300 ppo { learning_rate: 1e-4 hidden: [128, 128] }\n";
  const Descriptor* section = v1::RunSpec::descriptor();
  for (const Option& option : Options()) {
    if (option.field->containing_type() != section) {
      section = option.field->containing_type();
      absl::StrAppend(&text, "\n", Comment(comments, PlaceOf(*section), 0));
    }
    absl::StrAppend(&text, "\n", option.name, ": ", Rules(option), "\n",
                    Comment(comments, PlaceOf(*option.field), 4));
    const EnumDescriptor* const choices = option.field->enum_type();
    for (int i = 1; choices != nullptr && i < choices->value_count(); ++i) {
      absl::StrAppend(&text, "    ", choices->value(i)->name(), ":\n",
                      Comment(comments, PlaceOf(*choices->value(i)), 6));
    }
  }
  return text;
}

}  // namespace backflip::options
