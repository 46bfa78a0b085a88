// Our JSON beside protobuf's own.
#include "services/preference_broker/http/json.h"

#include <google/protobuf/util/json_util.h>
#include <google/protobuf/util/message_differencer.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>

#include "backflip/v1/label.pb.h"
#include "backflip/v1/people.pb.h"
#include "backflip/v1/review.pb.h"
#include "backflip/v1/run.pb.h"
#include "services/preference_broker/http/gzip.h"

namespace backflip::preference_broker {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::Message;
using google::protobuf::MessageFactory;
using google::protobuf::Reflection;

class Filler {
 public:
  // Sets about half of the fields to anything they can hold.
  void Fill(Message* message, int depth = 0) {
    const Descriptor* const type = message->GetDescriptor();
    for (int i = 0; i < type->field_count(); ++i) {
      const FieldDescriptor* const field = type->field(i);
      if (random_() % 2 == 0 ||
          (depth > 3 && field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE))
        continue;
      const int count = field->is_repeated() ? 1 + random_() % 3 : 1;
      for (int k = 0; k < count; ++k) Set(message, field, depth);
    }
  }

 private:
  template <typename Number>
  Number Real() {
    switch (random_() % 8) {
      case 0:
        return std::numeric_limits<Number>::infinity();
      case 1:
        return -std::numeric_limits<Number>::infinity();
      case 2:
        return std::numeric_limits<Number>::max();
      case 3:
        return std::numeric_limits<Number>::denorm_min();
      case 4:
        return -0.1f;
      case 5:
        return 16777216;
      default:
        return std::ldexp(static_cast<Number>(random_()), static_cast<int>(random_() % 80) - 100);
    }
  }
  std::string Text() {
    static const char* const kTexts[] = {"", "plain", "\"\\/\b\f\n\r\t\x01\x7f", "<script>&amp;",
                                         "\xE2\x80\xA8 \xF0\x9F\xA4\xB8 \xC3\xA9"};
    return kTexts[random_() % 5];
  }
  void Set(Message* m, const FieldDescriptor* f, int depth) {
    const Reflection* const r = m->GetReflection();
    const bool many = f->is_repeated();
    switch (f->cpp_type()) {
      case FieldDescriptor::CPPTYPE_INT32:
        return many ? r->AddInt32(m, f, random_()) : r->SetInt32(m, f, random_());
      case FieldDescriptor::CPPTYPE_UINT32:
        return many ? r->AddUInt32(m, f, random_()) : r->SetUInt32(m, f, random_());
      case FieldDescriptor::CPPTYPE_INT64:
        return many ? r->AddInt64(m, f, random_()) : r->SetInt64(m, f, random_());
      case FieldDescriptor::CPPTYPE_UINT64:
        return many ? r->AddUInt64(m, f, random_()) : r->SetUInt64(m, f, random_());
      case FieldDescriptor::CPPTYPE_DOUBLE:
        return many ? r->AddDouble(m, f, Real<double>()) : r->SetDouble(m, f, Real<double>());
      case FieldDescriptor::CPPTYPE_FLOAT:
        return many ? r->AddFloat(m, f, Real<float>()) : r->SetFloat(m, f, Real<float>());
      case FieldDescriptor::CPPTYPE_BOOL:
        return many ? r->AddBool(m, f, random_() % 2) : r->SetBool(m, f, random_() % 2);
      case FieldDescriptor::CPPTYPE_ENUM: {
        // now and then one that this version does not know
        const int number =
            random_() % 8 == 0
                ? 99
                : f->enum_type()->value(random_() % f->enum_type()->value_count())->number();
        return many ? r->AddEnumValue(m, f, number) : r->SetEnumValue(m, f, number);
      }
      case FieldDescriptor::CPPTYPE_STRING: {
        const std::string value = f->type() == FieldDescriptor::TYPE_BYTES
                                      ? std::string("\x00\xff\xfe binary", 10)
                                      : Text();
        return many ? r->AddString(m, f, value) : r->SetString(m, f, value);
      }
      case FieldDescriptor::CPPTYPE_MESSAGE: {
        if (f->is_map()) {
          Message* const entry = r->AddMessage(m, f);
          Set(entry, f->message_type()->map_key(), depth + 1);
          Set(entry, f->message_type()->map_value(), depth + 1);
          return;
        }
        return Fill(many ? r->AddMessage(m, f) : r->MutableMessage(m, f), depth + 1);
      }
    }
  }
  std::mt19937_64 random_{7};
};

// Numbers as numbers: the two write different digits of the same one.
bool Same(const nlohmann::json& a, const nlohmann::json& b) {
  if (a.is_number() && b.is_number())
    return static_cast<float>(a.get<double>()) == static_cast<float>(b.get<double>());
  if (a.type() != b.type() || a.size() != b.size()) return false;
  if (a.is_object()) {
    for (const auto& [key, value] : a.items()) {
      if (!b.contains(key) || !Same(value, b[key])) return false;
    }
    return true;
  }
  if (a.is_array()) {
    for (size_t i = 0; i < a.size(); ++i) {
      if (!Same(a[i], b[i])) return false;
    }
    return true;
  }
  return a == b;
}

TEST(Json, IsProtobufsForEveryMessageOfThePeoplesServices) {
  Filler filler;
  int messages = 0;
  for (const auto* file :
       {v1::LeaseRequest::descriptor()->file(), v1::InviteRequest::descriptor()->file(),
        v1::WatchDashboardRequest::descriptor()->file(), v1::Run::descriptor()->file()}) {
    for (int i = 0; i < file->message_type_count(); ++i) {
      const Message* const prototype =
          MessageFactory::generated_factory()->GetPrototype(file->message_type(i));
      for (int round = 0; round < 20; ++round, ++messages) {
        const std::unique_ptr<Message> drawn(prototype->New());
        filler.Fill(drawn.get());
        // of two entries with one key a map keeps the last
        const std::unique_ptr<Message> message(prototype->New());
        ASSERT_TRUE(message->ParseFromString(drawn->SerializeAsString()));
        const std::string ours = ToJson(*message);
        std::string theirs;
        ASSERT_TRUE(google::protobuf::util::MessageToJsonString(*message, &theirs).ok());
        EXPECT_TRUE(Same(nlohmann::json::parse(ours), nlohmann::json::parse(theirs)))
            << prototype->GetTypeName() << "\n"
            << ours << "\n"
            << theirs;
        const std::unique_ptr<Message> back(prototype->New());
        const auto parsed = google::protobuf::util::JsonStringToMessage(ours, back.get());
        ASSERT_TRUE(parsed.ok()) << parsed.ToString() << "\n" << ours;
        EXPECT_TRUE(google::protobuf::util::MessageDifferencer::Equals(*back, *message)) << ours;
      }
    }
  }
  EXPECT_GT(messages, 1000);
}

TEST(Json, NumbersReadBackAsTheyWere) {
  v1::Poses poses;
  for (const float number : {0.1f, 1.f / 3, 1e-30f, 16777217.f, -0.f, 3.4e38f})
    poses.add_poses(number);
  EXPECT_EQ(ToJson(poses), R"({"poses":[0.1,0.33333334,1e-30,16777216,-0,3.4e+38]})");
  poses.clear_poses();
  poses.add_poses(NAN);
  EXPECT_EQ(ToJson(poses), R"({"poses":["NaN"]})");
}

TEST(Gzip, AcceptEncodingIsReadAsItIsMeant) {
  EXPECT_TRUE(AcceptsGzip("gzip"));
  EXPECT_TRUE(AcceptsGzip("deflate, GZIP;q=0.1"));
  EXPECT_TRUE(AcceptsGzip("*"));
  EXPECT_FALSE(AcceptsGzip(""));
  EXPECT_FALSE(AcceptsGzip("br, deflate"));
  EXPECT_FALSE(AcceptsGzip("gzip;q=0, *"));
  EXPECT_FALSE(AcceptsGzip("gzip; q=0.000"));
  EXPECT_FALSE(AcceptsGzip("xgzip"));
}

}  // namespace
}  // namespace backflip::preference_broker
