#include "vbp/io/image_folder.hpp"

#include <filesystem>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "support/catch.hpp"
#include "support/folder.hpp"

namespace {

namespace fs = std::filesystem;
using vbp::Index;
using namespace vbp::io;

/// A temporary folder that is filled with files of given names.
class Folder : public vbp_test::TemporaryFolder {
 public:
  void add(const std::string& file) const {
    fs::create_directories((path() / file).parent_path());
    std::ofstream(path() / file) << "x";
  }

  std::vector<std::string> names(const std::vector<ImageEntry>& entries) const {
    std::vector<std::string> result;
    for (const ImageEntry& entry : entries) result.push_back(entry.path.lexically_relative(path()).string());
    return result;
  }
};

using Names = std::vector<std::string>;

std::vector<ImageEntry> groups_of(const std::vector<std::pair<std::string, int>>& sizes) {
  std::vector<ImageEntry> entries;
  for (const auto& [group, size] : sizes) {
    for (int i = 0; i < size; ++i) entries.push_back({group + "/" + std::to_string(i), -1, group});
  }
  return entries;
}

std::map<std::string, int> count(const std::vector<ImageEntry>& entries) {
  std::map<std::string, int> counts;
  for (const ImageEntry& entry : entries) ++counts[entry.group];
  return counts;
}

TEST_CASE("find_images takes JPEG and PNG files at any depth in name order", "[io]") {
  const Folder folder;
  for (const char* file : {"b.png", "a/z.JPEG", "a/deep/er/1.Jpg", "a-b/x.PNG", "c.jpg", "B.jpeg",
                           "a/notes.txt", "a/.hidden.jpg", ".cache/x.jpg", "jpg", "no.jpg.bak"}) {
    folder.add(file);
  }
  const auto found = find_images(folder.path());
  CHECK(folder.names(found) == Names{"B.jpeg", "a/deep/er/1.Jpg", "a/z.JPEG", "a-b/x.PNG", "b.png", "c.jpg"});
  for (const ImageEntry& entry : found) CHECK(entry.label == -1);
  CHECK(found[0].group.empty());
  CHECK(found[1].group == "a");
  CHECK(found[3].group == "a-b");
}

TEST_CASE("find_images says what is wrong with a folder", "[io]") {
  const Folder folder;
  folder.add("sub/readme.txt");
  CHECK_THROWS_AS(find_images(folder.path()), vbp::FileError);
  CHECK_THROWS_WITH(find_images(folder.path()), Catch::Contains("no images"));
  CHECK_THROWS_WITH(find_images(folder.path() / "missing"),
                    (folder.path() / "missing").string() + ": no such folder");
  CHECK_THROWS_WITH(find_images(folder.path() / "sub/readme.txt"), Catch::Contains("not a folder"));
}

TEST_CASE("links are followed without going in circles", "[io]") {
  const Folder folder;
  const Folder elsewhere;
  folder.add("a/1.jpg");
  elsewhere.add("2.jpg");
  fs::create_directory_symlink(folder.path(), folder.path() / "a/up");
  fs::create_directory_symlink(folder.path() / "a", folder.path() / "same");
  fs::create_directory_symlink(elsewhere.path(), folder.path() / "other");
  fs::create_symlink(folder.path() / "a/1.jpg", folder.path() / "file.jpg");
  fs::create_symlink("nowhere", folder.path() / "lost.png");
  CHECK(folder.names(find_images(folder.path())) == Names{"a/1.jpg", "file.jpg", "lost.png", "other/2.jpg"});
}

TEST_CASE("labels come from the model's class names", "[io]") {
  const Folder folder;
  for (const char* file : {"dog/1.jpg", "dog/more/2.jpg", "cat/1.jpg", "stray.jpg"}) folder.add(file);
  const auto found = labelled_images(folder.path(), {"dog", "bird", "cat"}, 3);
  CHECK(folder.names(found) == Names{"cat/1.jpg", "dog/1.jpg", "dog/more/2.jpg"});
  CHECK(found[0].label == 2);
  CHECK(found[1].label == 0);
  CHECK(found[2].label == 0);
  CHECK(found[2].group == "dog");
}

TEST_CASE("labels come from name order where names say nothing and counts match", "[io]") {
  const Folder folder;
  for (const char* file : {"n02/1.jpg", "n01/1.jpg"}) folder.add(file);
  for (const auto& names : {Names{}, Names{"tench", "goldfish"}}) {
    const auto found = labelled_images(folder.path(), names, 2);
    REQUIRE(found.size() == 2);
    CHECK(found[0].group == "n01");
    CHECK(found[0].label == 0);
    CHECK(found[1].label == 1);
  }
}

TEST_CASE("labels that would be guesses are refused", "[io]") {
  const Folder folder;
  for (const char* file : {"cat/1.jpg", "dgo/1.jpg"}) folder.add(file);
  const auto label = [&](const Names& names, Index classes) {
    return labelled_images(folder.path(), names, classes);
  };
  CHECK_THROWS_WITH(label({"cat", "dog"}, 2),
                    Catch::Contains("\"dgo\" is none of the model's classes (1 of 2 sub-folders are)"));
  CHECK_THROWS_WITH(label({}, 3), Catch::Contains("2 sub-folders for the model's 3 classes"));
  CHECK_THROWS_WITH(label({"x", "y", "z"}, 3), Catch::Contains("\"cat\" is not the name of one"));
  CHECK_THROWS_WITH(label({"cat", "cat", "dgo"}, 3), Catch::Contains("several classes of this name"));
  CHECK_THROWS_AS(label({"cat"}, 2), vbp::ValueError);
  CHECK_THROWS_WITH(labelled_images(folder.path() / "cat", {}, 2), Catch::Contains("no sub-folders"));
  CHECK_THROWS_WITH(labelled_images(folder.path() / "cow", {}, 2), Catch::Contains("no such folder"));
  const Folder empty;
  fs::create_directory(empty.path() / "cat");
  CHECK_THROWS_WITH(labelled_images(empty.path(), {"cat"}, 1), Catch::Contains("no images"));
}

TEST_CASE("spread takes the first ones of every group", "[io]") {
  const auto entries = groups_of({{"a", 5}, {"b", 2}, {"c", 9}});
  CHECK(count(spread(entries, 6)) == std::map<std::string, int>{{"a", 2}, {"b", 2}, {"c", 2}});
  // One more for the first groups where the limit is no multiple.
  CHECK(count(spread(entries, 4)) == std::map<std::string, int>{{"a", 2}, {"b", 1}, {"c", 1}});
  CHECK(count(spread(entries, 2)) == std::map<std::string, int>{{"a", 1}, {"b", 1}});
  // b has two, the others share what it leaves.
  CHECK(count(spread(entries, 11)) == std::map<std::string, int>{{"a", 5}, {"b", 2}, {"c", 4}});
  CHECK(count(spread(entries, 15)) == std::map<std::string, int>{{"a", 5}, {"b", 2}, {"c", 8}});
  CHECK(spread(entries, 16).size() == 16);
  CHECK(spread(entries, 1000).size() == 16);
  const auto four = spread(entries, 4);
  CHECK(four[0].path == "a/0");
  CHECK(four[1].path == "a/1");
  CHECK(four[2].path == "b/0");
  CHECK(four[3].path == "c/0");
  CHECK_THROWS_AS(spread(entries, 0), vbp::ValueError);
}

}  // namespace
