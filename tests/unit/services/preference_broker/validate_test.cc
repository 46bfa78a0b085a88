#include "services/preference_broker/rpc/validate.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace backflip::preference_broker {
namespace {

using ::testing::HasSubstr;

TEST(CheckText, TakesUtf8AndNothingElse) {
  EXPECT_TRUE(CheckText("client", "labeler 1.0 \xc3\xa4 \xe2\x82\xac \xf0\x9f\xa4\xb8", 100).ok());
  EXPECT_TRUE(CheckText("client", "", 100).ok());
  EXPECT_FALSE(CheckText("client", std::string("a\0b", 3), 100).ok());
  EXPECT_FALSE(CheckText("client", "\xff", 100).ok());
  EXPECT_FALSE(CheckText("client", "\xc3", 100).ok());              // cut short
  EXPECT_FALSE(CheckText("client", "\xc0\x80", 100).ok());          // overlong
  EXPECT_FALSE(CheckText("client", "\xed\xa0\x80", 100).ok());      // half of a surrogate pair
  EXPECT_FALSE(CheckText("client", "\xf4\x90\x80\x80", 100).ok());  // beyond Unicode
  EXPECT_FALSE(CheckText("client", "toolong", 6).ok());
}

TEST(CheckRequestId, SaysWhatIsAllowed) {
  EXPECT_TRUE(CheckRequestId("request_id", std::string(16, 'a')).ok());
  EXPECT_TRUE(CheckRequestId("request_id", std::string(64, '~')).ok());
  const absl::Status status = CheckRequestId("request_id", std::string(65, 'a'));
  EXPECT_THAT(std::string(status.message()), HasSubstr("request_id must be 16 to 64"));
  EXPECT_FALSE(CheckRequestId("request_id", std::string(20, '\n')).ok());
}

TEST(CheckRange, NamesFieldValueAndRange) {
  EXPECT_TRUE(CheckRange("count", 16, 0, 16).ok());
  EXPECT_EQ(CheckRange("count", 17, 0, 16).message(), "count is 17, but must be from 0 to 16");
}

TEST(CheckNewQuestions, WantsPairsOfTwoClips) {
  v1::OpenQuestionsRequest request;
  v1::NewQuestion* question = request.add_questions();
  question->set_purpose(v1::TRAIN);
  question->add_clip_ids(std::string(64, 'a'));
  EXPECT_THAT(std::string(CheckNewQuestions(request).message()),
              HasSubstr("questions[0].clip_ids has 1 clips"));
  question->add_clip_ids(std::string(64, 'b'));
  EXPECT_TRUE(CheckNewQuestions(request).ok());
  question->set_overlap(101);
  EXPECT_THAT(std::string(CheckNewQuestions(request).message()), HasSubstr("overlap is 101"));
  question->set_overlap(0);
  question->set_purpose(v1::PURPOSE_UNSPECIFIED);
  EXPECT_THAT(std::string(CheckNewQuestions(request).message()), HasSubstr("purpose"));
  question->set_purpose(v1::TRAIN);
  question->set_score(1.0 / 0.0);
  EXPECT_THAT(std::string(CheckNewQuestions(request).message()), HasSubstr("score"));
}

}  // namespace
}  // namespace backflip::preference_broker
