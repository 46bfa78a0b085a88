#include "common/experience/trajectory.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace backflip::experience {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

// Observations 0, 1, 2, … of one number; the last moment of the i-th ended episode
// is 100 + i, the trajectory's last one -1.
Trajectory Of(int steps, std::vector<EpisodeEnd> ends) {
  Trajectory trajectory;
  trajectory.steps = steps;
  for (int i = 0; i < steps; ++i) trajectory.observations.push_back(static_cast<float>(i));
  for (size_t i = 0; i < ends.size(); ++i) trajectory.end_observations.push_back(100.0f + i);
  trajectory.episode_ends = std::move(ends);
  trajectory.last_observation = {-1};
  return trajectory;
}

std::vector<float> Observations(const Trajectory& t, const Piece& piece, int first, int count) {
  return Moments(piece, first, count, 1, t.observations, t.end_observations, t.last_observation);
}

TEST(Pieces, AreOneWhereNoEpisodeEnds) {
  const auto pieces = PiecesOf(Of(5, {}));
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0].first_step, 0);
  EXPECT_EQ(pieces[0].steps, 5);
  EXPECT_EQ(pieces[0].end, End::kNone);
  EXPECT_EQ(pieces[0].end_index, -1);
}

TEST(Pieces, AreCutAfterTheStepThatEndedAnEpisode) {
  const auto pieces = PiecesOf(Of(7, {{0, End::kDiverged}, {4, End::kTimeLimit}}));
  ASSERT_EQ(pieces.size(), 3u);
  EXPECT_EQ(pieces[0].first_step, 0);
  EXPECT_EQ(pieces[0].steps, 1);
  EXPECT_EQ(pieces[0].end, End::kDiverged);
  EXPECT_EQ(pieces[1].first_step, 1);
  EXPECT_EQ(pieces[1].steps, 4);
  EXPECT_EQ(pieces[1].end, End::kTimeLimit);
  EXPECT_EQ(pieces[1].end_index, 1);
  EXPECT_EQ(pieces[2].first_step, 5);
  EXPECT_EQ(pieces[2].steps, 2);
  EXPECT_EQ(pieces[2].end, End::kNone);
}

TEST(Pieces, LeaveNoEmptyOneAfterAnEpisodeThatEndedWithTheTrajectory) {
  const auto pieces = PiecesOf(Of(4, {{3, End::kTerminal}}));
  ASSERT_EQ(pieces.size(), 1u);
  EXPECT_EQ(pieces[0].steps, 4);
  EXPECT_EQ(pieces[0].end, End::kTerminal);
  EXPECT_THAT(PiecesOf(Of(0, {})), IsEmpty());
}

TEST(Moments, TakeWhatFollowsAPieceFromWhereItIsKept) {
  const Trajectory t = Of(5, {{2, End::kTimeLimit}});
  const auto pieces = PiecesOf(t);
  EXPECT_THAT(Observations(t, pieces[0], 0, 4), ElementsAre(0, 1, 2, 100));
  EXPECT_THAT(Observations(t, pieces[0], 1, 2), ElementsAre(1, 2));
  EXPECT_THAT(Observations(t, pieces[1], 3, 3), ElementsAre(3, 4, -1));
  EXPECT_THAT(Observations(t, pieces[1], 4, 2), ElementsAre(4, -1));
}

TEST(Moments, AreRowsOfTheirWidth) {
  const std::vector<int> rows = {0, 1, 2, 3}, ends = {}, last = {8, 9};
  EXPECT_THAT(Moments(Piece{.first_step = 0, .steps = 2}, 1, 2, 2, rows, ends, last),
              ElementsAre(2, 3, 8, 9));
}

}  // namespace
}  // namespace backflip::experience
