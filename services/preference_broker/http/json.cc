#include "services/preference_broker/http/json.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/reflection.h>

#include <charconv>
#include <cmath>
#include <nlohmann/json.hpp>
#include <vector>

#include "absl/strings/escaping.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/string_view.h"

namespace backflip::preference_broker {
namespace {

using google::protobuf::EnumValueDescriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::Reflection;

template <typename Number>
void WriteReal(Number value, std::string* out) {
  if (std::isnan(value)) {
    *out += "\"NaN\"";
  } else if (std::isinf(value)) {
    *out += value > 0 ? "\"Infinity\"" : "\"-Infinity\"";
  } else {
    char digits[32];
    out->append(digits, std::to_chars(digits, digits + sizeof(digits), value).ptr);
  }
}

void WriteText(const std::string& value, std::string* out) {
  *out += nlohmann::json(value).dump(-1, ' ', /*ensure_ascii=*/false,
                                     nlohmann::json::error_handler_t::replace);
}

void WriteEnum(const FieldDescriptor* field, int number, std::string* out) {
  const EnumValueDescriptor* const value = field->enum_type()->FindValueByNumber(number);
  if (value == nullptr) {  // of a later version of the protocol
    absl::StrAppend(out, number);
  } else {
    absl::StrAppend(out, "\"", value->name(), "\"");
  }
}

void WriteMessage(const Message& message, std::string* out);

// `at`: of a repeated field; -1 otherwise.
void WriteValue(const Message& message, const FieldDescriptor* field, int at, std::string* out) {
  const Reflection* const r = message.GetReflection();
  const bool one = at < 0;
  std::string scratch;
  switch (field->cpp_type()) {
    case FieldDescriptor::CPPTYPE_INT32:
      absl::StrAppend(out,
                      one ? r->GetInt32(message, field) : r->GetRepeatedInt32(message, field, at));
      break;
    case FieldDescriptor::CPPTYPE_UINT32:
      absl::StrAppend(
          out, one ? r->GetUInt32(message, field) : r->GetRepeatedUInt32(message, field, at));
      break;
    case FieldDescriptor::CPPTYPE_INT64:
      absl::StrAppend(out, "\"",
                      one ? r->GetInt64(message, field) : r->GetRepeatedInt64(message, field, at),
                      "\"");
      break;
    case FieldDescriptor::CPPTYPE_UINT64:
      absl::StrAppend(out, "\"",
                      one ? r->GetUInt64(message, field) : r->GetRepeatedUInt64(message, field, at),
                      "\"");
      break;
    case FieldDescriptor::CPPTYPE_DOUBLE:
      WriteReal(one ? r->GetDouble(message, field) : r->GetRepeatedDouble(message, field, at), out);
      break;
    case FieldDescriptor::CPPTYPE_FLOAT:
      WriteReal(one ? r->GetFloat(message, field) : r->GetRepeatedFloat(message, field, at), out);
      break;
    case FieldDescriptor::CPPTYPE_BOOL:
      *out += (one ? r->GetBool(message, field) : r->GetRepeatedBool(message, field, at)) ? "true"
                                                                                          : "false";
      break;
    case FieldDescriptor::CPPTYPE_ENUM:
      WriteEnum(field,
                one ? r->GetEnumValue(message, field) : r->GetRepeatedEnumValue(message, field, at),
                out);
      break;
    case FieldDescriptor::CPPTYPE_STRING: {
      const std::string& value = one ? r->GetStringReference(message, field, &scratch)
                                     : r->GetRepeatedStringReference(message, field, at, &scratch);
      if (field->type() == FieldDescriptor::TYPE_BYTES) {
        absl::StrAppend(out, "\"", absl::Base64Escape(value), "\"");
      } else {
        WriteText(value, out);
      }
      break;
    }
    case FieldDescriptor::CPPTYPE_MESSAGE:
      WriteMessage(one ? r->GetMessage(message, field) : r->GetRepeatedMessage(message, field, at),
                   out);
      break;
  }
}

void WriteMessage(const Message& message, std::string* out) {
  const Reflection* const reflection = message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection->ListFields(message, &fields);  // those that are set, in the order of their numbers
  *out += '{';
  bool first = true;
  for (const FieldDescriptor* field : fields) {
    absl::StrAppend(out, first ? "\"" : ",\"", field->json_name(), "\":");
    first = false;
    if (!field->is_repeated()) {
      WriteValue(message, field, -1, out);
      continue;
    }
    const int size = reflection->FieldSize(message, field);
    if (field->is_map()) {
      *out += '{';
      for (int i = 0; i < size; ++i) {
        const Message& entry = reflection->GetRepeatedMessage(message, field, i);
        if (i > 0) *out += ',';
        WriteText(entry.GetReflection()->GetString(entry, entry.GetDescriptor()->map_key()), out);
        *out += ':';
        WriteValue(entry, entry.GetDescriptor()->map_value(), -1, out);
      }
      *out += '}';
      continue;
    }
    *out += '[';
    if (field->cpp_type() == FieldDescriptor::CPPTYPE_FLOAT) {
      // nearly all of what is written: poses
      for (const float value : reflection->GetRepeatedFieldRef<float>(message, field)) {
        if (out->back() != '[') *out += ',';
        WriteReal(value, out);
      }
    } else {
      for (int i = 0; i < size; ++i) {
        if (i > 0) *out += ',';
        WriteValue(message, field, i, out);
      }
    }
    *out += ']';
  }
  *out += '}';
}

}  // namespace

std::string ToJson(const Message& message) {
  std::string out;
  WriteMessage(message, &out);
  return out;
}

}  // namespace backflip::preference_broker
