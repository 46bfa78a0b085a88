#include "common/options/option.h"

#include <google/protobuf/text_format.h>

#include <algorithm>

#include "absl/strings/str_cat.h"
#include "absl/strings/str_format.h"
#include "absl/strings/str_join.h"
#include "absl/strings/str_split.h"

namespace backflip::options {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::EnumDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;
using google::protobuf::TextFormat;

void FindOptions(const Descriptor& message, const std::string& prefix,
                 std::vector<const FieldDescriptor*> parents, std::vector<Option>* options) {
  for (int i = 0; i < message.field_count(); ++i) {
    const FieldDescriptor* const field = message.field(i);
    const std::string name = absl::StrCat(prefix, field->name());
    if (field->message_type() == nullptr) {
      options->push_back({name, parents, field});
      continue;
    }
    parents.push_back(field);
    FindOptions(*field->message_type(), absl::StrCat(name, "."), parents, options);
    parents.pop_back();
  }
}

// `index`: of an item of a list; otherwise -1.
double NumberOf(const Message& message, const FieldDescriptor* field, int index) {
  const Reflection& reflection = *message.GetReflection();
  const bool item = index >= 0;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      return item ? reflection.GetRepeatedInt32(message, field, index)
                  : reflection.GetInt32(message, field);
    case FieldDescriptor::CPPTYPE_INT64:
      return static_cast<double>(item ? reflection.GetRepeatedInt64(message, field, index)
                                      : reflection.GetInt64(message, field));
    case FieldDescriptor::CPPTYPE_UINT64:
      return static_cast<double>(item ? reflection.GetRepeatedUInt64(message, field, index)
                                      : reflection.GetUInt64(message, field));
    case FieldDescriptor::CPPTYPE_DOUBLE:
      return item ? reflection.GetRepeatedDouble(message, field, index)
                  : reflection.GetDouble(message, field);
    default:
      return 0;  // no bounds
  }
}

bool InBounds(const v1::OptionRules& rules, double value) {
  // so written that NaN is refused
  return (!rules.has_min() || value >= rules.min()) && (!rules.has_max() || value <= rules.max()) &&
         (!rules.has_above() || value > rules.above()) &&
         (!rules.has_below() || value < rules.below());
}

}  // namespace

const std::vector<Option>& Options() {
  static const auto* const options = [] {
    auto* const all = new std::vector<Option>;
    FindOptions(*v1::RunSpec::descriptor(), "", {}, all);
    return all;
  }();
  return *options;
}

void SetDefault(const Option& option, v1::RunSpec* spec) {
  Message* holder = spec;
  for (const FieldDescriptor* const part : option.parents)
    holder = holder->GetReflection()->MutableMessage(holder, part);
  for (const absl::string_view value :
       absl::StrSplit(option.rules().default_(), ' ', absl::SkipEmpty())) {
    TextFormat::Parser().ParseFieldValueFromString(std::string(value), option.field, holder);
  }
}

std::string Allowed(const Option& option) {
  if (const EnumDescriptor* const type = option.field->enum_type()) {
    std::vector<std::string> names;
    for (int i = 1; i < type->value_count(); ++i) names.push_back(type->value(i)->name());
    return absl::StrJoin(names, ", ");
  }
  const auto text = [&](double bound) {
    return option.field->cpp_type() == FieldDescriptor::CPPTYPE_DOUBLE
               ? absl::StrCat(bound)
               : absl::StrFormat("%.0f", bound);
  };
  const v1::OptionRules& rules = option.rules();
  if (rules.has_min() && rules.has_max())
    return absl::StrCat(text(rules.min()), " to ", text(rules.max()));
  std::vector<std::string> bounds;
  if (rules.has_min()) bounds.push_back(absl::StrCat("at least ", text(rules.min())));
  if (rules.has_above()) bounds.push_back(absl::StrCat("more than ", text(rules.above())));
  if (rules.has_max()) bounds.push_back(absl::StrCat("at most ", text(rules.max())));
  if (rules.has_below()) bounds.push_back(absl::StrCat("less than ", text(rules.below())));
  return absl::StrJoin(bounds, " and ");
}

absl::Status CheckOption(const Option& option, const v1::RunSpec& spec) {
  const FieldDescriptor* const field = option.field;
  const v1::OptionRules& rules = option.rules();
  const Message* holder = &spec;
  for (const FieldDescriptor* const part : option.parents)
    holder = &holder->GetReflection()->GetMessage(*holder, part);
  const Reflection& reflection = *holder->GetReflection();
  const auto refuse = [&](absl::string_view what) {
    return absl::InvalidArgumentError(absl::StrCat("run spec: ", option.name, what));
  };
  if (const EnumDescriptor* const type = field->enum_type()) {
    const int number = reflection.GetEnumValue(*holder, field);
    if (number != 0 && type->FindValueByNumber(number) != nullptr) return absl::OkStatus();
    return refuse(absl::StrCat(" is not set to one of ", Allowed(option)));
  }
  const int items = field->is_repeated() ? reflection.FieldSize(*holder, field) : 0;
  if (rules.max_items() > 0 && items > rules.max_items()) {
    // all lists of a RunSpec are widths of layers
    return refuse(absl::StrCat(" has ", items, " layers; allowed: at most ", rules.max_items()));
  }
  for (int i = field->is_repeated() ? 0 : -1; i < items; ++i) {
    if (InBounds(rules, NumberOf(*holder, field, i))) continue;
    std::string value;
    TextFormat::PrintFieldValueToString(*holder, field, i, &value);
    return refuse(absl::StrCat(" is ", value, "; allowed: ", Allowed(option)));
  }
  return absl::OkStatus();
}

}  // namespace backflip::options
