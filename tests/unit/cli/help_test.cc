#include "cli/output/help.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <string>

namespace backflip::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

constexpr char kUsage[] =
    "What it is.\n\n  train              learn\n  labels import FILE    take labels\n"
    "  labels export RUN     give them\n  run FILE           queue\n";

std::string Help(const std::string& command) {
  return HelpText(kUsage,
                  {{"data", "data folder: everything. Default: here"},
                   {"tls_key", "train --human: its key"},
                   {"steps", "train, run: how many"},
                   {"run_id", "labels import, retract: which"}},
                  command);
}

TEST(Help, OfACommandHasItsLinesAndItsFlags) {
  EXPECT_EQ(
      Help("labels"),
      "backflip labels import FILE    take labels\nbackflip labels export RUN     give them\n\n"
      "  --data              data folder: everything. Default: here\n"
      "  --run-id            labels import, retract: which\n");
  EXPECT_THAT(Help("train"), HasSubstr("--tls-key           train --human: its key\n"));
  EXPECT_THAT(Help("run"), HasSubstr("--steps             how many\n"));
  EXPECT_THAT(Help("run"), Not(HasSubstr("--tls-key")));
}

TEST(Help, WithoutACommandListsThem) {
  EXPECT_EQ(Help(""), kUsage);
  EXPECT_EQ(Help("fly"), kUsage);
}

TEST(Help, BreaksLongDescriptions) {
  std::string words;
  for (int i = 0; i < 60; ++i) words += "word ";
  const std::string help =
      HelpText(kUsage, {{"a_name_that_is_longer_than_others", words}}, "train");
  for (size_t begin = 0; begin < help.size();) {
    const size_t end = help.find('\n', begin);
    EXPECT_LE(end - begin, 100);
    begin = end + 1;
  }
  EXPECT_THAT(help, HasSubstr("  --a-name-that-is-longer-than-others\n                      word"));
}

}  // namespace
}  // namespace backflip::cli
