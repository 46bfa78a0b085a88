#include "cli/command_line.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "absl/strings/match.h"
#include "absl/strings/str_cat.h"
#include "absl/strings/str_split.h"
#include "cli/output/help.h"

namespace backflip::cli {
namespace {

using ::testing::AnyOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using ::testing::StartsWith;

enum class Fruit { kApple, kPear };

// A small command line of its own.
class CommandLineTest : public ::testing::Test {
 protected:
  absl::StatusOr<CommandLine> Parse(const std::string& line) {
    return ParseCommandLine(commands_, absl::StrSplit(line, ' ', absl::SkipEmpty()));
  }
  CommandLine Good(const std::string& line) {
    const auto parsed = Parse(line);
    EXPECT_TRUE(parsed.ok()) << parsed.status();
    return parsed.value_or(CommandLine());
  }
  std::string Refused(const std::string& line) {
    const absl::Status status = Parse(line).status();
    EXPECT_EQ(status.code(), absl::StatusCode::kInvalidArgument) << status;
    return std::string(status.message());
  }

  Fruit fruit_ = Fruit::kApple;
  int height_ = 3;
  std::optional<uint64_t> seed_;
  std::optional<int64_t> again_;
  bool wet_feet_ = false;
  std::string basket_;
  const std::vector<Command> commands_ = {
      {Section::kStart,
       "grow TREE [PLACE]",
       "a tree",
       nullptr,
       {{"fruit NAME",
         &fruit_,
         {{"apple", Fruit::kApple}, {"pear", Fruit::kPear}},
         "apple or pear"},
        {"height N", &height_, "in steps"},
        {"seed N", &seed_, "what it grows from"},
        {"again [N]", &again_, "like an earlier one"},
        {"wet-feet", &wet_feet_, "stands in water"}}},
      {Section::kStart,
       "fruit pick",
       "a fruit",
       nullptr,
       {Flag("basket NAME", &basket_, "where it goes").Required()}},
      {Section::kStart, "fruit eat FRUIT", "it", nullptr},
      {Section::kStart, "fruit cook FRUIT", "it", nullptr, {}, "", /*takes_stack=*/false},
  };
};

TEST_F(CommandLineTest, RefusesTheStacksFlagsWhereACommandTalksToNone) {
  for (const std::string line :
       {"fruit cook pear --data /there", "--data=/there fruit cook pear"}) {
    EXPECT_THAT(Refused(line), HasSubstr("`backflip fruit cook` takes no --data"));
  }
  EXPECT_EQ(Good("fruit cook pear").call.Word(0), "pear");
}

TEST_F(CommandLineTest, TakesFlagsBetweenAndAfterWordsAndTheStacksAnywhere) {
  const CommandLine line =
      Good("--data /there grow --fruit=pear oak --wet_feet --height 7 here -seed=5");
  ASSERT_NE(line.command, nullptr);
  EXPECT_EQ(line.command->Name(), "grow");
  EXPECT_THAT(line.call.words, ElementsAre("oak", "here"));
  EXPECT_EQ(line.call.stack.data, "/there");
  EXPECT_EQ(fruit_, Fruit::kPear);
  EXPECT_EQ(height_, 7);
  EXPECT_EQ(seed_, 5);
  EXPECT_TRUE(wet_feet_);
  EXPECT_THAT(Good("grow -- --oak").call.words, ElementsAre("--oak"));
}

TEST_F(CommandLineTest, FindsCommandsOfTwoWords) {
  EXPECT_EQ(Good("fruit eat apple").command->Name(), "fruit eat");
  EXPECT_EQ(Good("fruit --data=d pick --basket=b").command->Name(), "fruit pick");
  EXPECT_EQ(basket_, "b");
}

TEST_F(CommandLineTest, LetsTheNumberOfSomeFlagsBeLeftOut) {
  Good("grow oak");
  EXPECT_FALSE(again_.has_value());
  EXPECT_THAT(Good("grow --again oak").call.words, ElementsAre("oak"));
  EXPECT_EQ(again_, 0);
  EXPECT_THAT(Good("grow --again 12 oak").call.words, ElementsAre("oak"));
  EXPECT_EQ(again_, 12);
  Good("grow oak --again=4 --again");
  EXPECT_EQ(again_, 0);
}

TEST_F(CommandLineTest, RefusesAFlagOfAnotherCommandWithTheNearestThatItTakes) {
  EXPECT_EQ(Refused("fruit eat apple --height=2"),
            "`backflip fruit eat` takes no --height; `backflip fruit eat --help` lists what it "
            "takes");
  EXPECT_THAT(Refused("grow oak --hieght 4"),
              HasSubstr("takes no --hieght; did you mean --height?"));
  EXPECT_THAT(Refused("grow oak --wet"), HasSubstr("did you mean --wet-feet?"));
  EXPECT_THAT(Refused("fruit eat apple --tokenfile=x"), HasSubstr("did you mean --token-file?"));
  EXPECT_THAT(Refused("grow oak --zzzzzz"), Not(HasSubstr("did you mean")));
  EXPECT_EQ(Refused("--height=2 grow oak"),
            "--height stands before a command, whose flags come after its name");
}

TEST_F(CommandLineTest, RefusesAnUnknownCommandWithTheNearest) {
  EXPECT_EQ(Refused(""), "no command was given; `backflip help` lists them");
  EXPECT_EQ(Refused("gorw oak"),
            "there is no command 'gorw'; did you mean `backflip grow`? `backflip help` lists them");
  EXPECT_EQ(Refused("simulate"), "there is no command 'simulate'; `backflip help` lists them");
  EXPECT_THAT(Refused("fruit pikc"), HasSubstr("did you mean `backflip fruit pick`?"));
  for (const char* line : {"fruit", "fruit simulate"}) {
    EXPECT_THAT(Refused(line), HasSubstr("say which: backflip fruit pick, eat"));
  }
}

TEST_F(CommandLineTest, SaysWhatAValueMustBe) {
  EXPECT_EQ(Refused("grow oak --fruit=plum"), "--fruit is 'plum'; it must be apple or pear");
  EXPECT_EQ(Refused("grow oak --height=tall"), "--height is 'tall'; it must be a whole number");
  EXPECT_EQ(Refused("grow oak --seed=-1"), "--seed is '-1'; it must be a whole number");
  EXPECT_EQ(Refused("grow oak --wet-feet=very"), "--wet-feet is 'very'; it must be true or false");
  EXPECT_EQ(Refused("grow oak --height"), "--height has no value: --height N");
}

TEST_F(CommandLineTest, SaysWhatIsMissingOrTooMuch) {
  EXPECT_EQ(Refused("grow"), "usage: backflip grow TREE [PLACE]");
  EXPECT_EQ(Refused("grow oak here there"), "usage: backflip grow TREE [PLACE]");
  EXPECT_EQ(Refused("fruit pick it"), "usage: backflip fruit pick --basket NAME");
  EXPECT_EQ(Refused("fruit pick"), "--basket NAME is missing: where it goes");
  EXPECT_EQ(Refused("fruit pick --basket="), "--basket NAME is missing: where it goes");
}

TEST_F(CommandLineTest, BeginsWithWhatTheEnvironmentSaysOfTheStack) {
  const auto parse = [&](const std::vector<std::string>& arguments,
                         const std::map<std::string, std::string>& environment) {
    return ParseCommandLine(commands_, arguments, environment);
  };
  const auto taken = parse({"grow", "oak"}, {{"data", "/there"}, {"insecure", "true"}});
  ASSERT_TRUE(taken.ok()) << taken.status();
  EXPECT_EQ(taken->call.stack.data, "/there");
  EXPECT_TRUE(taken->call.stack.insecure);
  EXPECT_EQ(parse({"grow", "oak", "--data=/here"}, {{"data", "/there"}})->call.stack.data, "/here");
  EXPECT_TRUE(parse({"fruit", "cook", "pear"}, {{"data", "/there"}}).ok()) << "of no use to it";
  EXPECT_THAT(parse({"grow", "oak"}, {{"insecure", "perhaps"}}).status().message(),
              HasSubstr("BACKFLIP_INSECURE is 'perhaps'"));
}

TEST_F(CommandLineTest, HelpIsAskedForAnywhere) {
  for (const char* line : {"grow --help --no-such-flag", "-h grow", "help grow"}) {
    const CommandLine help = Good(line);
    EXPECT_EQ(help.command, nullptr) << line;
    EXPECT_THAT(help.call.words, ElementsAre("grow")) << line;
  }
  EXPECT_THAT(Good("--help").call.words, IsEmpty());
}

// What the real commands promise, each.

TEST(Commands, HaveHelpThatNamesTheirOwnFlagsAlone) {
  const std::vector<Command> commands = Commands();
  ASSERT_GT(commands.size(), 20);
  std::set<std::string> everywhere;
  for (const Flag& flag : StackFlags().Flags()) everywhere.insert(flag.name);
  for (const Command& command : commands) {
    const std::string help = HelpText(commands, absl::StrSplit(command.Name(), ' '));
    EXPECT_THAT(help, StartsWith(absl::StrCat("backflip ", command.Usage())));
    EXPECT_FALSE(command.summary.empty()) << command.Name();
    EXPECT_THAT(HelpText(commands, {}), HasSubstr(absl::StrCat("  ", command.Usage())));
    std::set<std::string> own = command.takes_stack ? everywhere : std::set<std::string>();
    for (const Flag& flag : command.flags) {
      EXPECT_TRUE(own.insert(flag.name).second)
          << command.Name() << " has --" << flag.name << " twice";
      EXPECT_FALSE(flag.help.empty()) << command.Name() << " --" << flag.name;
      EXPECT_THAT(help, HasSubstr(absl::StrCat("\n  ", flag.Text()))) << command.Name();
    }
    for (const absl::string_view line : absl::StrSplit(help, '\n')) {
      EXPECT_LE(line.size(), 100) << line;
      if (!absl::StartsWith(line, "  --")) continue;
      const std::string name(line.substr(4, line.find(' ', 4) - 4));
      EXPECT_TRUE(own.count(name)) << command.Name() << " shows --" << name;
    }
  }
}

TEST(Commands, TakeTheStacksFlagsAndNoOthers) {
  const std::vector<Command> commands = Commands();
  for (const Command& command : commands) {
    std::vector<std::string> arguments = absl::StrSplit(command.Usage(), ' ');
    for (const Flag& flag : StackFlags().Flags()) {
      if (command.takes_stack) arguments.push_back(absl::StrCat("--", flag.name, "=x"));
    }
    arguments.push_back("--of-nobody");
    EXPECT_THAT(ParseCommandLine(commands, arguments).status().message(),
                AnyOf(HasSubstr("takes no --of-nobody"), HasSubstr("it must be")))
        << command.Name();
  }
}

TEST(Commands, ListTheValuesThatAFlagTakes) {
  const std::vector<Command> commands = Commands();
  const auto refused = [&](const std::string& line) {
    return std::string(ParseCommandLine(commands, absl::StrSplit(line, ' ')).status().message());
  };
  EXPECT_EQ(refused("gold add 1 a b --answer=tie"), "");
  EXPECT_THAT(refused("gold add 1 a b --answer=up"), HasSubstr("--answer is 'up'"));
  EXPECT_THAT(refused("gold add 1 a b"), HasSubstr("left (the first clip is better)"));
  EXPECT_EQ(refused("gold add 1 a b --answer=tie --use=qualify"), "");
  EXPECT_THAT(refused("gold add 1 a b --answer=tie --use=test"), HasSubstr("--use is 'test'"));
  EXPECT_EQ(refused("labels export 1 --format=trajectories"), "");
  EXPECT_THAT(refused("labels export 1 --format=xml"),
              HasSubstr("jsonl, csv, npz (B-Pref's buffers) or trajectories (for imitation)"));
  EXPECT_THAT(refused("train --taks=hopper"), HasSubstr("did you mean --task?"));
  EXPECT_THAT(refused("runs --teacher=oracle"), HasSubstr("`backflip runs` takes no --teacher"));
}

}  // namespace
}  // namespace backflip::cli
