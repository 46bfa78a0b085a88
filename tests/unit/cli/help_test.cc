#include "cli/output/help.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "absl/strings/str_split.h"

namespace backflip::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class Help : public ::testing::Test {
 protected:
  std::string Text(const std::string& words) {
    return HelpText(commands_, absl::StrSplit(words, ' ', absl::SkipEmpty()));
  }

  int steps_ = 200;
  std::string text_;
  std::vector<Command> commands_ = {
      {Section::kStart,
       "train",
       "learn",
       nullptr,
       {{"steps N", &steps_, "how many"}, {"tls-key FILE", &text_, "its key"}},
       "For a while."},
      {Section::kLabels, "labels export RUN", "give them", nullptr},
      {Section::kLabels,
       "labels import FILE",
       "take labels",
       nullptr,
       {Flag("run RUN", &text_, "which").Required()}},
  };
};

TEST_F(Help, OfACommandHasItsUsageAndItsFlags) {
  EXPECT_THAT(Text("train"),
              StartsWith("backflip train [FLAGS]\n\n"
                         "Learn.\n\nFor a while.\n\n"
                         "  --steps N                 how many. Default: 200\n"
                         "  --tls-key FILE            its key\n\n"
                         "Of commands that talk to a stack (or by variables, such as "
                         "BACKFLIP_TOKEN_FILE):\n\n  --data FOLDER "));
  EXPECT_THAT(Text("labels import file"), StartsWith("backflip labels import FILE --run RUN"));
  EXPECT_THAT(Text("labels import"), Not(HasSubstr("--tls-key")));
}

TEST_F(Help, OfAFamilyOfCommandsHasEach) {
  const std::string help = Text("labels");
  EXPECT_THAT(help, StartsWith("backflip labels export RUN\n\nGive them.\n\n\n"
                               "backflip labels import FILE --run RUN\n\nTake labels.\n"));
  EXPECT_EQ(help.find("--broker ADDRESS"), help.rfind("--broker ADDRESS"));
  commands_.push_back({Section::kLabels, "labels", "count them", nullptr});
  EXPECT_THAT(Text("labels"), StartsWith("backflip labels\n\nCount them."));
  EXPECT_THAT(Text("labels"), HasSubstr("See also: backflip labels export RUN\n"));
}

TEST_F(Help, WithoutACommandListsThemBySection) {
  EXPECT_THAT(Text(""),
              HasSubstr("Start here:\n\n  train                                learn\n\nLabels:\n\n"
                        "  labels export RUN                    give them\n"
                        "  labels import FILE --run RUN         take labels\n\nOf commands that "
                        "talk to a stack"));
  EXPECT_EQ(Text("fly"), Text(""));
}

TEST_F(Help, BreaksLongDescriptions) {
  std::string words;
  for (int i = 0; i < 60; ++i) words += "word ";
  commands_[0].flags.push_back({"a-name-that-is-longer-than-others N", &text_, words});
  const std::string help = Text("train");
  for (const absl::string_view line : absl::StrSplit(help, '\n')) EXPECT_LE(line.size(), 100);
  EXPECT_THAT(help, HasSubstr("  --a-name-that-is-longer-than-others N\n"
                              "                            word"));
}

}  // namespace
}  // namespace backflip::cli
