#include "common/options/help.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "common/options/option.h"

namespace backflip::options {
namespace {

using ::testing::HasSubstr;

TEST(OptionsHelp, SaysOfEveryOptionWhatItIsAndMayBe) {
  const std::vector<std::string> lines = absl::StrSplit(OptionsHelp(), '\n');
  for (const Option& option : Options()) {
    size_t line = 0;
    while (line < lines.size() && !absl::StartsWith(lines[line], absl::StrCat(option.name, ": ")))
      ++line;
    ASSERT_LT(line + 1, lines.size()) << option.name;
    EXPECT_THAT(lines[line], HasSubstr(Allowed(option)));
    EXPECT_THAT(lines[line], HasSubstr(option.rules().default_()));
    EXPECT_TRUE(absl::StartsWith(lines[line + 1], "    ")) << option.name << " has no comment";
  }
  for (const std::string& line : lines) EXPECT_LE(line.size(), 100u) << line;
}

TEST(OptionsHelp, QuotesTheProtocol) {
  EXPECT_THAT(OptionsHelp(), HasSubstr("\nppo.discount: number, more than 0 and less than 1; "
                                       "default 0.995\n    Discount of later rewards per step"));
  EXPECT_THAT(OptionsHelp(), HasSubstr("\nThe reward ensemble (paper, 2.2.3 and A.1).\n"));
  EXPECT_THAT(OptionsHelp(), HasSubstr("    RANDOM:\n      Random pairs.\n"));
}

}  // namespace
}  // namespace backflip::options
