#include "common/base/flags.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>
#include <vector>

#include "absl/flags/flag.h"

ABSL_FLAG(int, boats, 3, "how many");
ABSL_FLAG(std::string, harbour_url, "", "where they are");
ABSL_FLAG(bool, afloat, true, "whether they are");

namespace backflip::base {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;

const FlagRule boats_rule(FLAGS_boats, 1, 9);
const ConfigCheck harbour_check([] {
  return absl::GetFlag(FLAGS_harbour_url) == "sunk" ? absl::NotFoundError("there is no harbour")
                                                    : absl::OkStatus();
});

class FlagsTest : public ::testing::Test {
 protected:
  FlagsTest() { Reset(); }
  ~FlagsTest() override { Reset(); }

  void SetUp() override {
#ifdef __SANITIZE_ADDRESS__
    GTEST_SKIP() << "absl::GetAllFlags returns a hash map, which has another layout in code with "
                    "AddressSanitizer than in Abseil as Debian builds it";
#endif
  }

  absl::StatusOr<ParsedFlags> Parse(const std::vector<absl::string_view>& arguments,
                                    std::vector<const char*> environment = {}) {
    environment.push_back(nullptr);
    return ParseFlags(arguments, environment.data());
  }
  std::string Refused(const std::vector<absl::string_view>& arguments,
                      const std::vector<const char*>& environment = {}) {
    const absl::Status status = Parse(arguments, environment).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  }

 private:
  void Reset() {
    absl::SetFlag(&FLAGS_boats, 3);
    absl::SetFlag(&FLAGS_harbour_url, "");
    absl::SetFlag(&FLAGS_afloat, true);
  }
};

TEST_F(FlagsTest, ComeFromTheCommandLineThenTheEnvironmentThenTheDefault) {
  const auto parsed = Parse({"--boats=5", "row", "--", "--boats=6"},
                            {"BACKFLIP_BOATS=7", "BACKFLIP_HARBOUR_URL=unix:here", "BOATS=8"});
  ASSERT_TRUE(parsed.ok()) << parsed.status();
  EXPECT_EQ(absl::GetFlag(FLAGS_boats), 5);
  EXPECT_EQ(absl::GetFlag(FLAGS_harbour_url), "unix:here");
  EXPECT_THAT(parsed->words, ElementsAre("row", "--boats=6"));
  const std::string text = ConfigText(parsed->sources);
  EXPECT_THAT(text, ::testing::ContainsRegex("--boats=5 +# command line\n"));
  EXPECT_THAT(text, ::testing::ContainsRegex("--harbour_url=unix:here +# BACKFLIP_HARBOUR_URL\n"));
  EXPECT_THAT(text, ::testing::ContainsRegex("--afloat=true +# default\n"));
}

TEST_F(FlagsTest, AreWrittenInSeveralWays) {
  ASSERT_TRUE(Parse({"--noafloat", "--harbour-url", "there", "-boats=2"}).ok());
  EXPECT_FALSE(absl::GetFlag(FLAGS_afloat));
  EXPECT_EQ(absl::GetFlag(FLAGS_harbour_url), "there");
  EXPECT_EQ(absl::GetFlag(FLAGS_boats), 2);
  ASSERT_TRUE(Parse({"--afloat"}, {"BACKFLIP_AFLOAT=false"}).ok());
  EXPECT_TRUE(absl::GetFlag(FLAGS_afloat));
}

TEST_F(FlagsTest, RefuseUnknownNamesWithTheNearest) {
  EXPECT_THAT(Refused({"--boat=2"}), HasSubstr("there is no --boat; did you mean --boats?"));
  EXPECT_THAT(Refused({"--sails=2"}), Not(HasSubstr("did you mean")));
  EXPECT_THAT(Refused({"--noboats"}), HasSubstr("there is no --noboats"));
  EXPECT_THAT(Refused({}, {"BACKFLIP_BAOTS=2"}),
              AllOf(HasSubstr("BACKFLIP_BAOTS"), HasSubstr("did you mean BACKFLIP_BOATS?")));
  // of another program: one environment serves all
  EXPECT_TRUE(Parse({}, {"BACKFLIP_TLS_CA=ca.pem"}).ok());
}

TEST_F(FlagsTest, RefuseValuesThatAreNone) {
  EXPECT_THAT(Refused({"--boats=many"}), HasSubstr("--boats is 'many'"));
  EXPECT_THAT(Refused({}, {"BACKFLIP_BOATS=many"}), HasSubstr("BACKFLIP_BOATS is 'many'"));
  EXPECT_THAT(Refused({"--boats"}), HasSubstr("--boats has no value"));
}

TEST_F(FlagsTest, AreHeldToTheirRules) {
  ASSERT_TRUE(Parse({"--boats=9", "--harbour_url=here"}).ok());
  EXPECT_THAT(BrokenRules(), IsEmpty());
  ASSERT_TRUE(Parse({"--boats=10"}).ok());
  EXPECT_THAT(BrokenRules(), ElementsAre(AllOf(HasSubstr("--boats is '10'"), HasSubstr("1 to 9"),
                                               HasSubstr("BACKFLIP_BOATS"))));
  ASSERT_TRUE(Parse({"--boats=1", "--harbour_url=sunk"}).ok());
  EXPECT_THAT(BrokenRules(), ElementsAre("there is no harbour"));
}

TEST_F(FlagsTest, HaveHelpWithRangeDefaultAndVariable) {
  EXPECT_THAT(FlagsHelp(),
              HasSubstr("\n  --boats  BACKFLIP_BOATS\n      how many. 1 to 9. Default: 3\n"));
}

TEST(Passwords, AreNotPrinted) {
  const std::map<std::string, std::string> texts = {
      {"postgresql://me:secret@host:5432/name?a=b", "postgresql://me:***@host:5432/name?a=b"},
      {"postgresql://me:s@crt@host/name", "postgresql://me:***@host/name"},
      {"postgresql:///name?password=secret&user=me", "postgresql:///name?password=***&user=me"},
      {"host=h password=secret", "host=h password=***"},
      {"https://labels.example.org:7480", "https://labels.example.org:7480"},
      {"postgresql://me@host/name", "postgresql://me@host/name"},
      {"127.0.0.1:7400", "127.0.0.1:7400"},
  };
  for (const auto& [text, printed] : texts) EXPECT_EQ(WithoutPasswords(text), printed);
}

TEST(Addresses, AreHostAndPortOrAPath) {
  for (const char* good : {"127.0.0.1:0", "[::1]:7400", "broker:65535", "unix:/tmp/a.sock"}) {
    EXPECT_TRUE(IsAddress(good)) << good;
  }
  for (const char* bad : {"", "broker", ":7400", "broker:", "broker:65536", "broker:-1", "unix:"}) {
    EXPECT_FALSE(IsAddress(bad)) << bad;
  }
  EXPECT_FALSE(IsHostAndPort("unix:/tmp/a.sock"));
}

}  // namespace
}  // namespace backflip::base
