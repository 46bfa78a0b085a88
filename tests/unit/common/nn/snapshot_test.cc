#include "common/nn/snapshot.h"

#include <limits>
#include <string>

#include "gmock/gmock.h"
#include "gtest/gtest.h"

namespace backflip::nn {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Snapshot Example() {
  Snapshot snapshot;
  snapshot.tensors["weight"] = {{2, 3}, {1, 2, 3, 4, 5, 6}};
  snapshot.tensors["bias"] = {{3}, {-1, 0.5, 1e-20f}};
  snapshot.tensors["nothing"] = {{0, 4}, {}};
  snapshot.tensors["scalar"] = {{}, {7}};
  snapshot.metadata["kind"] = "policy";
  return snapshot;
}

// A safetensors file with this header and data.
std::string File(const std::string& header, const std::string& data) {
  std::string bytes;
  for (int i = 0; i < 8; ++i) {
    bytes.push_back(static_cast<char>(header.size() >> (8 * i) & 0xff));
  }
  return bytes + header + data;
}

TEST(Snapshot, ReturnsFromItsBytesUnchanged) {
  const Snapshot before = Example();
  const auto after = Snapshot::Decode(before.Encode());
  ASSERT_TRUE(after.ok()) << after.status();
  EXPECT_EQ(after->metadata, before.metadata);
  ASSERT_EQ(after->tensors.size(), before.tensors.size());
  for (const auto& [name, tensor] : before.tensors) {
    EXPECT_EQ(after->tensors.at(name).shape, tensor.shape) << name;
    EXPECT_EQ(after->tensors.at(name).values, tensor.values) << name;
  }
}

TEST(Snapshot, HasTheSameBytesEveryTime) { EXPECT_EQ(Example().Encode(), Example().Encode()); }

TEST(Snapshot, AlignsItsDataToEightBytes) {
  const std::string bytes = Example().Encode();
  EXPECT_EQ(static_cast<uint8_t>(bytes[0]) % 8, 0);
}

TEST(Snapshot, ReadsAFileWrittenByTheReferenceImplementation) {
  // safetensors.numpy.save({"a": np.float32([1])}, {"kind": "x"})
  const std::string header = R"({"__metadata__":{"kind":"x"},"a":{"dtype":"F32","shape":[1],)"
                             R"("data_offsets":[0,4]}}   )";
  const auto snapshot = Snapshot::Decode(File(header, std::string("\0\0\x80\x3f", 4)));
  ASSERT_TRUE(snapshot.ok()) << snapshot.status();
  EXPECT_THAT(snapshot->tensors.at("a").values, ElementsAre(1.0f));
  EXPECT_EQ(snapshot->metadata.at("kind"), "x");
}

TEST(Snapshot, RefusesEveryTruncation) {
  const std::string bytes = Example().Encode();
  for (size_t size = 0; size < bytes.size(); ++size) {
    EXPECT_FALSE(Snapshot::Decode(bytes.substr(0, size)).ok()) << size;
  }
}

TEST(Snapshot, RefusesBadHeadersWithAReason) {
  const std::string four(4, '\0'), eight(8, '\0');
  const auto entry = [](const std::string& dtype, const std::string& shape,
                        const std::string& offsets) {
    return "{\"dtype\":\"" + dtype + "\",\"shape\":" + shape + ",\"data_offsets\":" + offsets + "}";
  };
  const std::string good = entry("F32", "[1]", "[0,4]");
  const struct {
    std::string bytes, reason;
  } cases[] = {
      {std::string(8, '\xff'), "longer than allowed"},
      {File("[]", ""), "not a JSON object"},
      {File("{", ""), "not a JSON object"},
      {File("{\"a\":" + good + "}", eight), "after the last tensor"},
      {File("{\"a\":" + entry("F16", "[2]", "[0,4]") + "}", four), "F32"},
      {File("{\"a\":" + entry("F32", "[2]", "[0,4]") + "}", four), "fit"},
      {File("{\"a\":" + entry("F32", "[-1]", "[0,4]") + "}", four), "integers"},
      {File("{\"a\":" + entry("F32", "[1.5]", "[0,4]") + "}", four), "integers"},
      {File("{\"a\":" + entry("F32", "[1]", "[4,0]") + "}", four), "fit"},
      {File("{\"a\":" + entry("F32", "[1]", "[0]") + "}", four), "two"},
      {File("{\"a\":" + entry("F32", "[99999999,99999999]", "[0,4]") + "}", four), "too large"},
      {File("{\"a\":" + good + ",\"b\":" + good + "}", four), "overlaps"},
      {File("{\"a\":" + good + ",\"b\":" + entry("F32", "[1]", "[8,12]") + "}", eight + four),
       "hole"},
      {File("{\"a\":3}", four), "no object"},
      {File("{\"__metadata__\":{\"a\":3}}", ""), "not text"},
      {File("{\"a\":" + good + "}", std::string("\0\0\xc0\x7f", 4)), "not finite"},
      {File("{\"a\":" + std::string(100000, '['), ""), "JSON"},
  };
  for (const auto& c : cases) {
    const auto snapshot = Snapshot::Decode(c.bytes);
    ASSERT_FALSE(snapshot.ok()) << c.reason;
    EXPECT_THAT(std::string(snapshot.status().message()), HasSubstr(c.reason));
  }
}

TEST(Snapshot, FindsTensorsOfTheWantedShapeOnly) {
  const Snapshot snapshot = Example();
  EXPECT_TRUE(snapshot.Find("weight", {2, 3}).ok());
  EXPECT_TRUE(snapshot.Find("weight", {-1, 3}).ok());
  EXPECT_FALSE(snapshot.Find("weight", {3, 2}).ok());
  EXPECT_FALSE(snapshot.Find("weight", {6}).ok());
  EXPECT_FALSE(snapshot.Find("absent", {1}).ok());
}

TEST(Snapshot, KeepsNumbersBitForBit) {
  Snapshot snapshot;
  const std::vector<double> numbers = {1.0 / 3, -1e-300, 0, 12345678.9};
  snapshot.SetNumbers("numbers", numbers);
  const auto decoded = Snapshot::Decode(snapshot.Encode());
  ASSERT_TRUE(decoded.ok());
  EXPECT_EQ(*decoded->Numbers("numbers"), numbers);
  EXPECT_FALSE(decoded->Number("numbers").ok());
  EXPECT_FALSE(decoded->Integer("numbers").ok());
}

}  // namespace
}  // namespace backflip::nn
