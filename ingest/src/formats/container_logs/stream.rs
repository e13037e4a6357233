//! What names tell: of log streams, and of the objects that hold them.
//!
//! ECS names a stream `prefix/container/task-id`. An export to S3 writes it with
//! dashes in place of the slashes, which cannot be undone when prefix or
//! container have dashes of their own: then these two stay NULL.

use std::ops::Range;

/// Where events come from, as far as it is the same for all of a document.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Origin {
    /// Account that owns the log group.
    pub account: Option<String>,
    /// The log group's name.
    pub group: Option<String>,
    /// The log stream, and what its name tells.
    pub stream: Option<Stream>,
    /// Subscription filters, as a JSON array.
    pub filters: Option<String>,
    /// Other members of the document: name with quotes, value as JSON.
    pub extra: Vec<(String, String)>,
}

impl Origin {
    /// Name of the stream, if it is known.
    pub fn stream_name(&self) -> Option<&str> {
        self.stream.as_ref().map(|stream| stream.name.as_str())
    }
}

/// The name of a log stream, taken apart.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stream {
    /// The whole name.
    pub name: String,
    parts: Parts,
}

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Parts {
    prefix: Option<Range<usize>>,
    container: Option<Range<usize>>,
    task: Option<Range<usize>>,
}

impl Stream {
    /// A stream by its own name, `prefix/container/task-id` if ECS made it.
    pub fn named(name: impl Into<String>) -> Self {
        let name = name.into();
        let mut parts = Parts::default();
        let mut split = name.split('/');
        if let (Some(prefix), Some(container), Some(task), None) =
            (split.next(), split.next(), split.next(), split.next())
            && !prefix.is_empty()
            && !container.is_empty()
            && is_task_id(task)
        {
            let container_start = prefix.len() + 1;
            parts.prefix = Some(0..prefix.len());
            parts.container = Some(container_start..container_start + container.len());
            parts.task = Some(name.len() - task.len()..name.len());
        }
        Stream { name, parts }
    }

    /// A stream by the folder that an export to S3 made for it.
    pub fn of_folder(folder: impl Into<String>) -> Self {
        let name = folder.into();
        let mut parts = Parts::default();
        if let Some(task) = task_behind_dash(&name) {
            let before = &name[..name.len() - task.len() - 1];
            parts.task = Some(name.len() - task.len()..name.len());
            if let Some((prefix, container)) = before.split_once('-')
                && !prefix.is_empty()
                && !container.is_empty()
                && !container.contains('-')
            {
                parts.prefix = Some(0..prefix.len());
                parts.container = Some(prefix.len() + 1..before.len());
            }
        }
        Stream { name, parts }
    }

    /// The stream prefix that the task definition sets.
    pub fn prefix(&self) -> Option<&str> {
        self.parts.prefix.clone().map(|part| &self.name[part])
    }

    /// Name of the container in its task definition.
    pub fn container(&self) -> Option<&str> {
        self.parts.container.clone().map(|part| &self.name[part])
    }

    /// Id of the ECS task.
    pub fn task(&self) -> Option<&str> {
        self.parts.task.clone().map(|part| &self.name[part])
    }
}

fn is_hex(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| byte.is_ascii_hexdigit())
}

fn is_uuid(text: &str) -> bool {
    let mut lengths = text
        .split('-')
        .map(|part| is_hex(part, part.len()).then_some(part.len()));
    [8, 4, 4, 4, 12]
        .iter()
        .all(|&length| lengths.next() == Some(Some(length)))
        && lengths.next().is_none()
}

/// Task ids have 32 hexadecimal digits; those of before 2019 are UUIDs.
fn is_task_id(text: &str) -> bool {
    is_hex(text, 32) || is_uuid(text)
}

fn task_behind_dash(folder: &str) -> Option<&str> {
    [36, 32].into_iter().find_map(|length| {
        let (before, task) = folder.split_at_checked(folder.len().checked_sub(length)?)?;
        (before.len() > 1 && before.ends_with('-') && is_task_id(task)).then_some(task)
    })
}

/// What the name of an object tells about all of its records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Place {
    /// Account, if a folder names one.
    pub account: Option<String>,
    /// Region, if a folder names one.
    pub region: Option<String>,
    /// Folder of the stream, in the layout of an export to S3.
    pub folder: Option<String>,
    /// The object in which CloudWatch Logs tried whether it may write.
    pub is_write_test: bool,
}

impl Place {
    /// Reads the layout of exports, `<prefix>/<task>/<stream>/000000.gz`, and
    /// folders that are an account or a Region, also as `account=...`.
    pub fn of(path: &str) -> Self {
        let folders: Vec<&str> = path.split('/').collect();
        let (&name, folders) = folders.split_last().expect("splitting gives at least one part");
        let mut place = Place {
            is_write_test: name == "aws-logs-write-test",
            ..Place::default()
        };
        for folder in folders {
            let value = folder.split_once('=').map_or(*folder, |(_, value)| value);
            if place.account.is_none() && value.len() == 12 && value.bytes().all(|byte| byte.is_ascii_digit())
            {
                place.account = Some(value.to_owned());
            } else if place.region.is_none() && is_region(value) {
                place.region = Some(value.to_owned());
            }
        }
        if let [.., above, folder] = folders
            && is_export_part(name)
            // Without the export's own folder above it, only a name that ECS
            // gives is a stream's: it may be any folder with a numbered file.
            && (is_uuid(above) || task_behind_dash(folder).is_some())
        {
            place.folder = Some((*folder).to_owned());
        }
        place
    }
}

/// `000000.gz`, and what it is called once unpacked.
fn is_export_part(name: &str) -> bool {
    let digits = name.split_once('.').map_or(name, |(digits, _)| digits);
    digits.len() == 6 && digits.bytes().all(|byte| byte.is_ascii_digit())
}

/// `eu-central-1`, `us-gov-west-1`: known areas only, since `my-app-1` is a
/// folder's name like any other.
fn is_region(text: &str) -> bool {
    const AREAS: &[&str] = &["af", "ap", "ca", "cn", "eu", "eusc", "il", "me", "mx", "sa", "us"];
    const DIRECTIONS: &[&str] = &[
        "central",
        "east",
        "north",
        "northeast",
        "northwest",
        "south",
        "southeast",
        "southwest",
        "west",
    ];
    let parts: Vec<&str> = text.split('-').collect();
    let (area, direction, number) = match parts[..] {
        [area, direction, number] => (area, direction, number),
        [area, _partition, direction, number] => (area, direction, number),
        _ => return false,
    };
    AREAS.contains(&area)
        && DIRECTIONS.contains(&direction)
        && (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TASK: &str = "0f9de17a6465404e8b1b2356dc13c2f8";
    const OLD_TASK: &str = "c13b4cb4-0c5a-4f5d-8f3c-1f1c7e3a9b2d";
    const DOCKER: &str = "64b4ca34ebb84b6ea58cd9d1a4e8f5d364b4ca34ebb84b6ea58cd9d1a4e8f5d3";

    type Parts<'a> = (Option<&'a str>, Option<&'a str>, Option<&'a str>);

    fn parts(stream: &Stream) -> Parts<'_> {
        (stream.prefix(), stream.container(), stream.task())
    }

    #[test]
    fn stream_names_are_taken_apart() {
        for (name, expected) in [
            (format!("web/app/{TASK}"), (Some("web"), Some("app"), Some(TASK))),
            (
                format!("web-1/a-b/{OLD_TASK}"),
                (Some("web-1"), Some("a-b"), Some(OLD_TASK)),
            ),
            (format!("a/web/app/{TASK}"), (None, None, None)),
            (format!("app/{TASK}"), (None, None, None)),
            (format!("/app/{TASK}"), (None, None, None)),
            (format!("web/app/{DOCKER}"), (None, None, None)),
            (DOCKER.to_owned(), (None, None, None)),
            ("web/app/latest".to_owned(), (None, None, None)),
            (format!("2020/03/05/[$LATEST]{TASK}"), (None, None, None)),
            (String::new(), (None, None, None)),
        ] {
            assert_eq!(parts(&Stream::named(name.as_str())), expected, "{name}");
        }
    }

    #[test]
    fn folders_of_exports_are_taken_apart_where_it_is_certain() {
        for (folder, expected) in [
            (format!("web-app-{TASK}"), (Some("web"), Some("app"), Some(TASK))),
            (
                format!("web-app-{OLD_TASK}"),
                (Some("web"), Some("app"), Some(OLD_TASK)),
            ),
            (format!("web-app-1-{TASK}"), (None, None, Some(TASK))),
            (format!("web-{TASK}"), (None, None, Some(TASK))),
            (format!("--{TASK}"), (None, None, Some(TASK))),
            (format!("-{TASK}"), (None, None, None)),
            (format!("2020-03-05-[$LATEST]{TASK}"), (None, None, None)),
            (format!("web-app-{DOCKER}"), (None, None, None)),
            (TASK.to_owned(), (None, None, None)),
            (DOCKER.to_owned(), (None, None, None)),
            (format!("é{}", &TASK[1..]), (None, None, None)),
        ] {
            assert_eq!(parts(&Stream::of_folder(folder.as_str())), expected, "{folder}");
        }
    }

    #[test]
    fn paths_tell_account_region_and_stream() {
        let place = |account: &str, region: &str, folder: &str| Place {
            account: (!account.is_empty()).then(|| account.to_owned()),
            region: (!region.is_empty()).then(|| region.to_owned()),
            folder: (!folder.is_empty()).then(|| folder.to_owned()),
            is_write_test: false,
        };
        let stream = format!("web-app-{TASK}");
        for (path, expected) in [
            (
                format!("s3://logs/exportedlogs/{OLD_TASK}/{stream}/000000.gz"),
                place("", "", &stream),
            ),
            (
                format!("exportedlogs/{OLD_TASK}/host-1/000001.gz"),
                place("", "", "host-1"),
            ),
            (format!("copied/{stream}/000000"), place("", "", &stream)),
            ("copied/host-1/000000.gz".to_owned(), place("", "", "")),
            (
                format!("exportedlogs/{OLD_TASK}/host-1/part.gz"),
                place("", "", ""),
            ),
            (
                format!("111122223333/eu-central-1/{OLD_TASK}/s/000000.gz"),
                place("111122223333", "eu-central-1", "s"),
            ),
            (
                "account=111122223333/region=us-gov-west-1/x.gz".to_owned(),
                place("111122223333", "us-gov-west-1", ""),
            ),
            ("my-app-1/me-too-1/x.json".to_owned(), place("", "", "")),
            ("app.json".to_owned(), place("", "", "")),
            (String::new(), place("", "", "")),
        ] {
            assert_eq!(Place::of(&path), expected, "{path}");
        }
        assert!(Place::of("s3://logs/exportedlogs/aws-logs-write-test").is_write_test);
    }
}
